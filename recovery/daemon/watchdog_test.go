package daemon

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestWatchdog: once in each interval while the engine answers, not while it is
// stuck or says that it fails, and again when it has recovered.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 15 * time.Second
		var (
			mu     sync.Mutex
			told   int
			result error
			delay  time.Duration
		)
		works := func() error {
			mu.Lock()
			d, err := delay, result
			mu.Unlock()
			time.Sleep(d)
			return err
		}
		alive := func() error {
			mu.Lock()
			defer mu.Unlock()
			told++
			return nil
		}
		engine := func(d time.Duration, err error) {
			mu.Lock()
			defer mu.Unlock()
			delay, result = d, err
		}
		count := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return told
		}
		phase := func(what string, d time.Duration, atLeast, atMost int) {
			t.Helper()
			before := count()
			time.Sleep(d)
			if n := count() - before; n < atLeast || n > atMost {
				t.Errorf("%s: told %d times, want %d to %d", what, n, atLeast, atMost)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			watchdog(ctx, interval, works, alive, hclog.NewNullLogger())
		}()
		phase("answers", 10*interval, 10, 11)
		engine(0, errors.New("the tap has failed"))
		phase("fails", 10*interval, 0, 0)
		engine(9*interval, nil)
		time.Sleep(interval) // from here on it takes its time
		phase("is stuck", 7*interval, 0, 0)
		engine(0, nil)
		phase("answers again", 12*interval, 9, 12)
		cancel()
		<-done
		phase("ended", 10*interval, 0, 0)
	})
}
