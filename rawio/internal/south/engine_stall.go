package south

import (
	"github.com/ftnet/ftnet/internal/segment"
)

const whyBegun = "its client began another connection while the engine stood still"

// EngineStalled deals with what the gate has done while it took the engine for dead
// (kernel.Config.DeadAfter): connections that it has opened cannot be protected
// any more, and those that are no longer bound are over. flows are the bound ones.
func (m *Machine) EngineStalled(flows map[segment.Flow]uint32) {
	m.readClock()
	m.Conns(func(c *Conn) bool {
		switch _, bound := flows[c.Flow]; {
		case !bound && c.bound():
			m.end(c, whyBegun)
		case m.slotOf(c).Opened():
			m.wasOpened(c)
		}
		return true
	})
}

// bound reports whether the core has bound the connection's flow in the gate.
func (c *Conn) bound() bool {
	return c.state != SynReceived && (c.state != Open || c.is(recovered))
}
