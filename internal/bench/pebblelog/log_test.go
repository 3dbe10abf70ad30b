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

func TestPersistent(t *testing.T) { logtest.RunPersistent(t, open) }

func open(t testing.TB, dir string, limits logtest.Limits) logserver.Log {
	l, err := Open(dir, &Config{Quota: limits.Quota, QuotaTotal: limits.QuotaTotal, LowSpace: limits.LowSpace})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
