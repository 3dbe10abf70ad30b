package rawio

import (
	"sync"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// upcalls collects the log's stability upcalls until the core can take them.
// The memory log makes them inside the core's own calls, where the core is
// busy; other logs make them from goroutines of theirs.
//
// Rejected: a result of Write that tells what is stable already. The metadata, the FIN and all other
// logs need the upcall anyway, so it would be a second way for one fact.
type upcalls struct {
	mu         sync.Mutex
	list, back []logserver.Upcall
	status     logserver.Status
	changed    bool // the status, since it was taken
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
	return len(u.list) > 0 || u.changed
}

// setStatus keeps the log's newest status and returns the one before.
func (u *upcalls) setStatus(s logserver.Status) (before logserver.Status) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, u.status, u.changed = u.status, s, true
	return before
}

// takeStatus returns the log's status if it has changed since the last call.
func (u *upcalls) takeStatus() (s logserver.Status, changed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s, changed, u.changed = u.status, u.changed, false
	return s, changed
}

// upcall is called by the log server. If the core is idle, the upcalls are processed at once, on
// the log's goroutine: waking another one would delay each ACK.
func (e *Engine) upcall(list []logserver.Upcall) {
	e.upcalls.add(list)
	if e.busy.Load() || !e.mu.TryLock() {
		e.wake()
		return
	}
	defer e.mu.Unlock()
	select {
	case <-e.closing: // the gate may be gone
	default:
		e.run(func(*south.Machine) {})
	}
}

// logStatus is called by the log server when its status changes. It logs the log's current
// status, not the argument: calls may overtake each other.
func (e *Engine) logStatus(change logserver.Status) {
	now := e.cfg.Log.Status()
	before := e.upcalls.setStatus(now)
	switch expired := change&logserver.Expired != 0; {
	case expired:
		e.log.Info("log backend expired connections that were idle for too long")
	case now == before:
	case now == logserver.OK:
		e.log.Info("log backend recovered", "was", before)
	default:
		e.log.Warn("log backend degraded", "status", now, "was", before)
	}
	e.wake()
}

// wake makes the core take the log's upcalls.
func (e *Engine) wake() {
	if e.busy.Load() {
		return // run checks for upcalls before it returns
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
