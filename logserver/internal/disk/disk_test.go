package disk_test

import (
	"bytes"
	"flag"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk"
	"github.com/ftnet/ftnet/logserver/logtest"
)

func TestMain(m *testing.M) {
	// Each step of the model tests waits for the disk.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var testKey = bytes.Repeat([]byte{7, 1}, 16)

func config(limits logtest.Limits, key []byte) *disk.Config {
	return &disk.Config{QuotaTotal: limits.QuotaTotal, LowSpace: limits.LowSpace, MinFree: 1, Key: key}
}

func open(t testing.TB, dir string, config *disk.Config) *disk.Log {
	t.Helper()
	if config.Warn == nil {
		config.Warn = func(message string, pairs ...any) { t.Log(message, pairs) }
	}
	l, err := disk.Open(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLog runs the conformance suite. Its logs are new ones, hundreds, and each would fill
// files of the default size with zeros beforehand, a quarter of a GiB: see TestDefaultFiles.
func TestLog(t *testing.T) {
	for _, v := range []struct {
		name    string
		key     []byte
		segment int64
		buffer  int64 // 0: the default
	}{{"plain", nil, 4 << 20, 0}, {"encrypted", testKey, 4 << 20, 0}, {"small files", nil, 512 << 10, 8 << 20}} {
		change := func(c *disk.Config) *disk.Config {
			if c.QuotaTotal == 0 {
				c.Segment, c.Buffer = v.segment, v.buffer
			}
			return c
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel() // they wait for the device
			logtest.Run(t, func(t testing.TB, limits logtest.Limits) logserver.Log {
				return open(t, t.TempDir(), change(config(limits, v.key)))
			})
			if v.key == nil {
				t.Run("Lend", func(t *testing.T) {
					logtest.RunLender(t, func(t testing.TB, limits logtest.Limits) logserver.Log {
						return open(t, t.TempDir(), change(config(limits, nil)))
					})
				})
			}
			logtest.RunPersistent(t, func(t testing.TB, dir string, limits logtest.Limits) logserver.Log {
				return open(t, dir, change(config(limits, v.key)))
			})
		})
	}
}

// TestDefaultFiles: a connection's bytes go on from one file of the default size to the next.
func TestDefaultFiles(t *testing.T) {
	t.Parallel()
	const size, piece = 70 << 20, 1 << 20
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, dir, config(logtest.Limits{}, nil))
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id, err := l.Open(logtest.Example(1))
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(0); off < size; off += piece {
		if n, err := l.Write(id, off, logtest.Pattern(make([]byte, piece), 1, off)); n != piece || err != nil {
			t.Fatalf("Write at %d: %d, %v", off, n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, config(logtest.Limits{}, nil))
	defer l.Close()
	for off := int64(0); off < size; off += piece {
		got := make([]byte, piece)
		if n, err := l.Read(id, got, off); n != piece || err != nil || !bytes.Equal(got, logtest.Pattern(make([]byte, piece), 1, off)) {
			t.Fatalf("Read at %d: %d, %v, or other bytes", off, n, err)
		}
	}
}
