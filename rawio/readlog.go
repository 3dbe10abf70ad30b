package rawio

import (
	"fmt"

	"github.com/ftnet/ftnet/logserver"
)

// ReadLog reads a connection's logged bytes from off on, for the north side
// (spec figure 19, stable data). slot and gen name the connection; owner says
// whether its port is the asking service's.
func (e *Engine) ReadLog(slot, gen uint32, owner func(port uint16) bool, p []byte, off int64) (int, error) {
	_, id, ok := e.owned(slot, gen, owner)
	if !ok {
		return 0, fmt.Errorf("rawio: no connection in slot %d with generation %d", slot, gen)
	}
	return e.cfg.Log.Read(id, p, off)
}

// FlowOf returns the connection in a slot, if its port is the asking service's.
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
