package backend

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/logserver"
)

// write logs some bytes and waits until they are stable.
func write(t *testing.T, l logserver.Log, p []byte) logserver.ConnID {
	t.Helper()
	stable := make(chan struct{}, 100)
	l.SetUpcall(func(list []logserver.Upcall) {
		for _, u := range list {
			if u.Stable >= int64(len(p)) {
				stable <- struct{}{}
			}
		}
	})
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id, err := l.Open(meta("x"))
	if err == nil {
		_, err = l.Write(id, 0, p)
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-stable:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing becomes stable")
	}
	return id
}

func TestOpenDisk(t *testing.T) {
	base := t.TempDir()
	key := filepath.Join(base, "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte("k"), keySize), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := []byte("what the client has sent")
	url := URL{Kind: Disk, Dir: filepath.Join(base, "a log")}.String()
	for _, o := range []Options{{QuotaTotal: 16 << 20}, {KeyFile: key, QuotaTotal: 16 << 20}} {
		dir := filepath.Join(base, "a log")
		l, err := Open(url, o)
		if err != nil {
			t.Fatal(err)
		}
		id := write(t, l, secret)
		if logserver.IsImmediate(l) {
			t.Error("a disk does not wait")
		}
		if _, limit := l.Usage(); limit != 16<<20 {
			t.Errorf("limit %d", limit)
		}
		if _, err := Open(url, o); err == nil {
			t.Error("opened twice")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if found := contains(t, dir, secret); found != (o.KeyFile == "") {
			t.Errorf("key %q: the bytes are in the files: %v", o.KeyFile, found)
		}
		if l, err = Open(url, o); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(secret))
		if n, err := l.Read(id, got, 0); err != nil || !bytes.Equal(got[:n], secret) {
			t.Errorf("%q, %v", got[:n], err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		other := Options{KeyFile: key}
		if o.KeyFile != "" {
			other.KeyFile = ""
		}
		if _, err := Open(url, other); err == nil || !strings.Contains(err.Error(), "key") {
			t.Errorf("with another key: %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(url, Options{KeyFile: key + "x"}); err == nil {
		t.Error("without a key")
	}
}

// contains looks for a text in the files of a directory.
func contains(t *testing.T, dir string, text []byte) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, text)
		if info, e := d.Info(); e == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDefaultOfTheDisk(t *testing.T) {
	dir := t.TempDir()
	total, err := fileSystemSize(dir)
	if err != nil {
		testenv.Missing(t, err.Error())
	}
	l, err := Open(URL{Kind: Disk, Dir: filepath.Join(dir, "log")}.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, limit := l.Usage(); limit != min(defaultDisk, total/2) {
		t.Errorf("limit %d of %d", limit, total)
	}
}
