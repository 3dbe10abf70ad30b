package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// While there is no engine, somebody may take the gate off and put it back; or the previous engine
// may have ended while packets bypassed the gate. So for adopted connections the core verifies that
// the gate has seen all packets: it asks the kernel how much the socket has received, and the gate
// must have seen the ACK of that a little later. Translated connections need no check: their clients
// accept only what the gate has translated. Output that the gate has not seen shows in the client's
// ACKs, see usesOtherPath.

// bypass is a connection that is to be verified.
type bypass struct {
	conn  *Conn
	at    int64  // time of the query, ns; 0: there was none yet
	taken uint32 // the kernel's RCV.NXT then
}

// bypassAfter is how long after the query the gate must have seen the ACK, ns. Linux delays an ACK by
// 200 ms at most (TCP_DELACK_MAX).
const bypassAfter = 1e9

// watchBypass makes tickBypassed verify an adopted connection, unless it is translated.
func (m *Machine) watchBypass(c *Conn) {
	if !c.is(recovered) {
		m.bypasses = append(m.bypasses, bypass{conn: c})
	}
}

// tickBypassed queries the kernel, and ends the protection of connections whose packets have bypassed
// the gate.
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
