package rawio

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// heart is the gate's part of the engine's heartbeat.
type heart interface {
	Beat() (late bool, err error)
	Flows() (map[segment.Flow]uint32, error)
}

// beat is the engine's heartbeat to the gate. It is called after the core has run, so that a
// stuck engine counts as dead. If the gate has taken the engine for dead and opened
// connections, the core gets the list of flows; if that cannot be read, each beat tries again.
// An engine that has lost all its ports to others (see Fence) is as good as dead. One that has lost its
// gate has failed.
func (e *Engine) beat(h heart) {
	e.mu.Lock()
	owns := e.machine.Owns()
	e.mu.Unlock()
	if !owns {
		return
	}
	late, err := h.Beat()
	if err != nil {
		e.fail("the gate does not take its heartbeat", err)
		return
	}
	if late {
		e.log.Warn("engine stalled for longer than dead-after; affected connections lost protection", "dead-after", e.cfg.DeadAfter)
		e.late = true
	}
	if !e.late {
		return
	}
	flows, err := h.Flows()
	if err != nil {
		e.log.Error("opened connections cannot be read from the gate", "error", err)
		return
	}
	e.late = false
	e.do(func(m *south.Machine) { m.EngineStalled(flows) })
}
