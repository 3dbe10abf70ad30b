package rawio

import "github.com/ftnet/ftnet/rawio/south"

// beat tells the gate that the engine lives. It is called where the core has just
// run: an engine that is stuck is as good as dead.
func (e *Engine) beat() {
	if !e.gate.Beat() {
		return
	}
	e.log.Warn("the engine stood still, and the gate did not wait for it", "waits", e.cfg.DeadAfter)
	flows, err := e.gate.Flows()
	if err != nil {
		e.log.Error("the gate does not say what it has let go", "error", err)
		return
	}
	e.do(func(m *south.Machine) { m.Late(flows) })
}
