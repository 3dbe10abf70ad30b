package logtest_test

import (
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logtest"
	"github.com/ftnet/ftnet/logserver/memory"
)

// kept is a memory log that a test may close and open again: the suite for logs
// that outlive their process has something to run on here.
type kept struct{ *memory.Log }

func (kept) Close() error { return nil }

func TestPersistent(t *testing.T) {
	logs := map[string]*memory.Log{}
	logtest.RunPersistent(t, func(t testing.TB, dir string, limits logtest.Limits) logserver.Log {
		if logs[dir] == nil {
			m, err := memory.New(&memory.Config{
				QuotaTotal: limits.QuotaTotal, LowSpace: limits.LowSpace,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			logs[dir] = m
		}
		return kept{logs[dir]}
	})
}
