package rawio

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/south"
)

// heart is what the gate has of the engine's heartbeat.
type heart interface {
	Beat() (late bool)
	Flows() (map[segment.Flow]uint32, error)
}

// beat tells the gate that the engine lives. It is called where the core has just
// run: an engine that is stuck is as good as dead. If the gate has not waited for the engine,
// the core is told what it has let go; as long as the gate cannot say, it is asked at each beat.
func (e *Engine) beat(h heart) {
	if h.Beat() {
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
	e.do(func(m *south.Machine) { m.Late(flows) })
}
