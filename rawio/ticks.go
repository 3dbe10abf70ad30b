package rawio

import (
	"time"

	"github.com/ftnet/ftnet/rawio/internal/south"
)

// Periods of the core's clock.
const (
	idleTick = 200 * time.Millisecond
	busyTick = 10 * time.Millisecond
	sweep    = 30 * time.Second
)

// ticker drives the core's timers: rarely, or often while handshakes are
// under way.
type ticker struct {
	t    *time.Ticker
	busy bool
}

func newTicker() *ticker { return &ticker{t: time.NewTicker(idleTick)} }

// set is called with the engine's lock held.
func (t *ticker) set(busy bool) {
	if t == nil || busy == t.busy {
		return
	}
	t.busy = busy
	if busy {
		t.t.Reset(busyTick)
	} else {
		t.t.Reset(idleTick)
	}
}

// tickLoop ticks the core, sends the heartbeat, and sweeps.
func (e *Engine) tickLoop() {
	defer e.ticks.t.Stop()
	last := time.Now()
	for {
		select {
		case <-e.closing:
			return
		case <-e.failure.failed:
			return
		case now := <-e.ticks.t.C:
			e.do(func(m *south.Machine) {
				m.Tick()
				e.fragments.Expire(e.env.Now())
			})
			e.beat(e.gate)
			if now.Sub(last) >= sweep {
				last = now
				e.sweep(2 * sweep)
			}
		}
	}
}
