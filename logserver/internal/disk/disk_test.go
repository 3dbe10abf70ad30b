package disk_test

import (
	"bytes"
	"flag"
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
// files of the default size with zeros beforehand, a quarter of a GiB.
func TestLog(t *testing.T) {
	for _, v := range []struct {
		name    string
		key     []byte
		segment int64
	}{{"plain", nil, 4 << 20}, {"encrypted", testKey, 4 << 20}, {"small files", nil, 512 << 10}} {
		change := func(c *disk.Config) *disk.Config {
			if c.QuotaTotal == 0 {
				c.Segment, c.Buffer = v.segment, 8<<20
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
