package disk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// TestOpenErrors: each says what is wrong, where, and what to do.
func TestOpenErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		first  *disk.Config // makes a log
		change func(t *testing.T, dir string)
		config *disk.Config
		want   string
	}{
		{"file", nil, func(t *testing.T, dir string) {
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "a file is in the way"},
		{"parent", nil, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Dir(dir)); err != nil {
				t.Fatal(err)
			}
		}, nil, "only its last part is made: make "},
		{"no key", &disk.Config{Key: testKey}, nil, nil, "is encrypted, and no key was given"},
		{"other key", &disk.Config{Key: testKey}, nil, &disk.Config{Key: make([]byte, 32)}, "was encrypted with another key"},
		{"key for nothing", &disk.Config{}, nil, &disk.Config{Key: testKey}, "is not encrypted, but a key was given"},
		{"version", &disk.Config{}, func(t *testing.T, dir string) { newer(t, dir) }, nil, "use the program that wrote it"},
		{"short key", nil, nil, &disk.Config{Key: []byte("x")}, "Config.Key has 1 bytes, want 32"},
		{"quota", nil, nil, &disk.Config{QuotaTotal: 1}, "Config.QuotaTotal is 1, want"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			if test.first != nil {
				if err := open(t, dir, test.first).Close(); err != nil {
					t.Fatal(err)
				}
			}
			if test.change != nil {
				test.change(t, dir)
			}
			_, err := disk.Open(dir, test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) && strings.Contains(test.want, "file") {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if strings.Contains(test.name, "key") && test.first != nil && !errors.Is(err, format.ErrKey) {
				t.Errorf("error is %v, want format.ErrKey", err)
			}
		})
	}
}

// newer changes the version in the header of a log's file.
func newer(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.ftlog"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for page := b[:format.Begin]; len(page) > 0; page = page[format.PageSize:] {
		binary.LittleEndian.PutUint32(page[8:], 9)
		sum := crc32.Checksum(page[:format.PageSize-4], crc32.MakeTable(crc32.Castagnoli))
		binary.LittleEndian.PutUint32(page[format.PageSize-4:], sum)
	}
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLock: a log has one owner.
func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, dir, &disk.Config{})
	_, err := disk.Open(dir, nil)
	if err == nil || !strings.Contains(err.Error(), "is in use") || !strings.Contains(err.Error(), "is locked by process") {
		t.Errorf("second Open: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, &disk.Config{}).Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFiles: nobody else can read them, and with a key nobody can.
func TestFiles(t *testing.T) {
	for _, key := range [][]byte{nil, testKey} {
		dir := filepath.Join(t.TempDir(), "log")
		l := open(t, dir, &disk.Config{Key: key})
		if err := l.RegisterService(0); err != nil {
			t.Fatal(err)
		}
		m := logtest.Example(1)
		m.Service = "a service's name"
		id, err := l.Open(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Write(id, 0, []byte("what a client says")); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("directory: %v, %v", info.Mode(), err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		found := 0
		for _, name := range files {
			info, err := os.Stat(name)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte("what a client says")) || bytes.Contains(b, []byte("a service's name")) {
				found++
			}
		}
		if (found > 0) != (key == nil) {
			t.Errorf("encrypted %v: found in %d files", key != nil, found)
		}
	}
	var _ logserver.Log = (*disk.Log)(nil)
}
