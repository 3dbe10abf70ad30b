package south

import (
	"github.com/ftnet/ftnet/internal/segment"
)

// Fence ends all that the core does for a port whose service another engine has taken over, and
// returns how many connections it has forgotten. From then on the gate holds all packets of the
// port, in both directions: no ACK of the kernel's reaches a client that the new owner serves, and
// no FIN or RST when the server process ends. What the kernel has of the connections goes; what the
// log has of them is the new owner's. Until Unprotect nothing that is said of the port has any effect.
//
// The gate does not need the engine for that: what is bound to no slot it holds whether the engine
// lives or not.
func (m *Machine) Fence(port uint16) (connections int) {
	m.readClock()
	svc := m.services[port]
	if svc == nil || svc.fenced {
		return 0
	}
	svc.fenced, svc.alive, svc.busy = true, false, false
	svc.queue, svc.inflight, svc.admitUntil = nil, 0, 0
	m.gate.HoldService(port, svc.Unmodified)
	m.syns.each(port, func(f segment.Flow, e *synEntry) {
		m.syns.drop(f)
		if e.synack != nil {
			m.kernel.Destroy(f) // half-open
		}
	})
	m.each(svc, func(c *Conn) {
		connections++
		m.gate.Unbind(c.Flow) // before its mode changes, and its socket says its last word
		m.kernel.Destroy(c.Flow)
		c.ID = 0 // it stays in the log
		m.becomeClosed(c)
	})
	return connections
}

// Owns reports whether the engine is needed for a port: there is one that is not fenced, or none
// at all.
func (m *Machine) Owns() bool {
	for _, svc := range m.services {
		if !svc.fenced {
			return true
		}
	}
	return len(m.services) == 0
}
