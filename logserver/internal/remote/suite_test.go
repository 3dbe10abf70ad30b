package remote_test

import (
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// labLog ends its server as well.
type labLog struct {
	logserver.Log
	lab *lab
}

func (l labLog) Close() error {
	err := l.Log.Close()
	l.lab.stop()
	return err
}

func TestSuite(t *testing.T) {
	logtest.Run(t, func(t testing.TB, limits logtest.Limits) logserver.Log {
		b := newLab(t, limits)
		return labLog{b.open(), b}
	})
}

func TestSuiteTLS(t *testing.T) {
	logtest.Run(t, func(t testing.TB, limits logtest.Limits) logserver.Log {
		b := newSecureLab(t, limits)
		return labLog{b.open(), b}
	})
}

// TestPersistent: what a client has left another one finds.
func TestPersistent(t *testing.T) {
	labs := map[string]*lab{}
	logtest.RunPersistent(t, func(t testing.TB, dir string, limits logtest.Limits) logserver.Log {
		b := labs[dir]
		if b == nil {
			b = newLab(t, limits)
			labs[dir] = b
		}
		return b.open()
	})
}
