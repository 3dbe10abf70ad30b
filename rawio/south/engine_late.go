package south

import (
	"github.com/ftnet/ftnet/internal/segment"
)

const whyBegun = "its client began another connection while the engine stood still"

// Late takes note of what the gate has done while it took the engine for dead
// (kernel.Config.DeadAfter): of connections that went on there can be no protection
// any more, and those that are not bound any more are over. flows is what is bound.
func (m *Machine) Late(flows map[segment.Flow]uint32) {
	m.read()
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

// bound reports whether the gate knows the connection's flow.
func (c *Conn) bound() bool {
	return c.state != SynReceived && (c.state != Open || c.is(recovered))
}
