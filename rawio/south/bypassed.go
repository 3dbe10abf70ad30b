package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// While there is no engine somebody may take the gate off and put it back, or the engine
// before may have gone while packets passed by the gate. So it is not believed of adopted
// connections that the gate was in the way: what the kernel's socket had taken when the engine
// asks it the gate must have seen acknowledged a little later. Of translated ones a client
// takes nothing else than what the gate lets go. What was sent the client's ACKs tell, see
// usesOtherPath.

// bypass is a connection of which that is to be found out.
type bypass struct {
	conn  *Conn
	at    int64  // time of the question, ns; 0: it was not asked
	taken uint32 // what the kernel had taken then, in sequence numbers
}

// bypassAfter is how long after the question the gate has seen what the kernel had to say
// then, ns. Linux delays an ACK by 200 ms at most (TCP_DELACK_MAX).
const bypassAfter = 1e9

// mayBeBypassed takes note of an adopted connection.
func (m *Machine) mayBeBypassed(c *Conn) {
	if !c.is(recovered) {
		m.bypasses = append(m.bypasses, bypass{conn: c})
	}
}

// tickBypassed lets those go that were.
func (m *Machine) tickBypassed() {
	if len(m.bypasses) == 0 {
		return
	}
	asks := progressPerTick
	for i := range m.bypasses {
		b := &m.bypasses[i]
		if b.at != 0 || asks == 0 || b.conn.state != Established {
			continue
		}
		asks--
		if p, known := m.kernel.Progress(b.conn.Flow); known {
			b.at, b.taken = m.now, b.conn.irs+1+uint32(p.Received)
		}
	}
	m.bypasses = slices.DeleteFunc(m.bypasses, func(b bypass) bool {
		c := b.conn
		if c.state != Established || c.is(recovered) || c.closed() {
			return true
		}
		if b.at == 0 || m.now-b.at < bypassAfter {
			return false
		}
		if seqnum.Less(m.slotOf(c).Ack(), b.taken) {
			m.unprotect(c, reason.Passed, "while there was no engine")
		}
		return true
	})
}
