package logd_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/memory"
)

// agedLog is a store of a host whose clock was years behind when it wrote.
type agedLog struct{ logserver.Log }

func (l agedLog) Meta(id logserver.ConnID) (logserver.Meta, error) {
	m, err := l.Log.Meta(id)
	m.Modified = m.Modified.AddDate(-30, 0, 0)
	return m, err
}

// TestExpireAfterAWrongClock: what a clock says that was or is wrong lets no connection be
// forgotten before the log server itself has waited for its engine.
func TestExpireAfterAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := memory.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		if err := log.RegisterService(0); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Open(service(1, "y")); err != nil {
			t.Fatal(err)
		}
		s, err := logd.NewServer(logd.Config{Store: agedLog{log}, Insecure: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, want := range []int{0, 0, 1, 0} {
			if got := s.Expire(time.Hour); got != want {
				t.Errorf("%d expired after %v, want %d", got, time.Now(), want)
			}
			time.Sleep(30 * time.Minute) // of the bubble's clock
		}
	})
}
