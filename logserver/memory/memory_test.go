package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logtest"
	"github.com/ftnet/ftnet/logserver/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openMemory(t testing.TB, limits logtest.Limits) logserver.Log {
	m, err := memory.New(&memory.Config{
		QuotaTotal: limits.QuotaTotal, LowSpace: limits.LowSpace,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemory(t *testing.T) {
	logtest.Run(t, openMemory)
	t.Run("Lend", func(t *testing.T) { logtest.RunLender(t, openMemory) })
}

func FuzzMemory(f *testing.F) { logtest.Fuzz(f, openMemory) }
