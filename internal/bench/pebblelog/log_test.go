package pebblelog

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLog(t *testing.T) {
	logtest.Run(t, func(t testing.TB, limits logtest.Limits) logserver.Log { return open(t, t.TempDir(), limits) })
}

// TestIngest is TestLog with tables made of all that is large.
func TestIngest(t *testing.T) {
	logtest.Run(t, func(t testing.TB, limits logtest.Limits) logserver.Log {
		return openWith(t, t.TempDir(), limits, Config{Inline: true, Ingest: true})
	})
}

func TestPersistent(t *testing.T) { logtest.RunPersistent(t, open) }

func open(t testing.TB, dir string, limits logtest.Limits) logserver.Log {
	return openWith(t, dir, limits, Config{})
}

func openWith(t testing.TB, dir string, limits logtest.Limits, config Config) logserver.Log {
	config.Quota, config.QuotaTotal, config.LowSpace = limits.Quota, limits.QuotaTotal, limits.LowSpace
	l, err := Open(dir, &config)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
