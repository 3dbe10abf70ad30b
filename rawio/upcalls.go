package rawio

import (
	"sync"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/south"
)

// upcalls collects the log's stability upcalls until the core can take them.
// The memory log makes them inside the core's own calls, where the core is
// busy; other logs make them from goroutines of theirs.
type upcalls struct {
	mu         sync.Mutex
	list, back []logserver.Upcall
	wake       chan struct{}
}

func (u *upcalls) add(list []logserver.Upcall) {
	u.mu.Lock()
	u.list = append(u.list, list...)
	u.mu.Unlock()
}

// take returns what was added since the last take; it is valid until the next.
func (u *upcalls) take() []logserver.Upcall {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list, u.back = u.back[:0], u.list
	return u.back
}

func (u *upcalls) pending() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list) > 0
}

// upcall is what the log server calls.
func (e *Engine) upcall(list []logserver.Upcall) {
	e.upcalls.add(list)
	if e.busy.Load() {
		return // who made the core busy looks once more when it is done
	}
	select {
	case e.upcalls.wake <- struct{}{}:
	default:
	}
}

// upcallLoop delivers upcalls that came while the core was idle.
func (e *Engine) upcallLoop() {
	for {
		select {
		case <-e.closing:
			return
		case <-e.upcalls.wake:
			e.do(func(*south.Machine) {})
		}
	}
}
