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
	return e.readOwned(slot, gen, owner, func(id logserver.ConnID) (int, error) { return e.cfg.Log.Read(id, p, off) })
}

// ReadState is ReadLog for the state of a connection's base, which must lie at off. It copies the state to p
// and returns its length; 0 is none.
func (e *Engine) ReadState(slot, gen uint32, owner func(port uint16) bool, p []byte, off int64) (int, error) {
	return e.readOwned(slot, gen, owner, func(id logserver.ConnID) (int, error) {
		m, err := e.cfg.Log.Meta(id)
		switch {
		case err != nil:
			return 0, err
		case m.Base.In != off:
			return 0, fmt.Errorf("rawio: the connection's base lies at %d, not at %d", m.Base.In, off)
		case len(m.Base.State) > len(p):
			return 0, fmt.Errorf("rawio: the state has %d bytes, more than %d", len(m.Base.State), len(p))
		}
		return copy(p, m.Base.State), nil
	})
}

// readOwned reads from the log of a connection that is the asking service's.
func (e *Engine) readOwned(slot, gen uint32, owner func(port uint16) bool, read func(logserver.ConnID) (int, error)) (int, error) {
	n, err := e.readLog(func() (logserver.ConnID, bool) {
		_, id, ok := e.owned(slot, gen, owner)
		return id, ok
	}, read)
	if errors.Is(err, errNotOwned) {
		err = fmt.Errorf("%w in slot %d with generation %d", err, slot, gen)
	}
	return n, err
}

var errNotOwned = errors.New("rawio: no connection")

// readLog reads from the log of the connection that conn returns, which is called for each attempt.
func (e *Engine) readLog(conn func() (logserver.ConnID, bool), read func(logserver.ConnID) (int, error)) (int, error) {
	for began := time.Now(); ; {
		id, ok := conn()
		if !ok {
			return 0, errNotOwned
		}
		n, err := read(id)
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
