package rawio

import (
	"errors"
	"fmt"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// ReadLog reads a connection's logged bytes from off on, for the north side
// (spec figure 19, stable data). slot and gen name the connection; owner reports
// whether its port is the calling service's. The log is read without the
// engine's lock. ReadLog waits up to 3 s for a log server that cannot be reached, and then
// returns logserver.ErrUnreachable.
func (e *Engine) ReadLog(slot, gen uint32, owner func(port uint16) bool, p []byte, off int64) (int, error) {
	n, err := e.readLog(func() (logserver.ConnID, bool) {
		_, id, ok := e.owned(slot, gen, owner)
		return id, ok
	}, p, off)
	if errors.Is(err, errNotOwned) {
		err = fmt.Errorf("%w in slot %d with generation %d", err, slot, gen)
	}
	return n, err
}

var errNotOwned = errors.New("rawio: no connection")

// readLog reads from the log of the connection that conn returns, which is called for each attempt.
func (e *Engine) readLog(conn func() (logserver.ConnID, bool), p []byte, off int64) (int, error) {
	for began := time.Now(); ; {
		id, ok := conn()
		if !ok {
			return 0, errNotOwned
		}
		n, err := e.cfg.Log.Read(id, p, off)
		if !errors.Is(err, logserver.ErrUnreachable) || time.Since(began) >= reachable {
			return n, err
		}
		select {
		case <-e.closing:
			return n, err
		case <-time.After(reachPoll):
		}
	}
}

const (
	// reachable is how long a read waits until the log server can be reached. After that the
	// server process may ask again.
	reachable = 3 * time.Second
	reachPoll = 50 * time.Millisecond
)

// FlowOf returns the connection in a slot, if its port is the calling service's.
func (e *Engine) FlowOf(slot, gen uint32, owner func(port uint16) bool) (Flow, bool) {
	f, _, ok := e.owned(slot, gen, owner)
	return f, ok
}

func (e *Engine) owned(slot, gen uint32, owner func(port uint16) bool) (Flow, logserver.ConnID, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.machine.BySlot(slot)
	if c == nil || c.Generation() != gen || !owner(c.Flow.Server.Port()) {
		return Flow{}, 0, false
	}
	return c.Flow, c.ID, true
}
