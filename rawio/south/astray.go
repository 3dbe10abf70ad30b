package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// Routes may change: packets of a connection that began where the gate is may take an
// interface without it, the other path. No event reports that, so the core infers it from the
// packets. The protection of such a connection ends.
//
// The server's: the client acknowledges what the gate has not seen leave, or says more
// than the gate has seen the kernel promise room for. Anybody may send that, so the kernel is
// asked whether its socket has sent, or had taken a second ago, so much.
//
// The client's: the tap sees them by such an interface only. Of devices on top of each
// other, a bridge and its port, one is enough, and the tap sees each packet by both.

// astray is the evidence that a connection's packets take another path than the gate's.
type astray struct {
	asked int64 // time of the last question of Kernel.Progress, ns; 0: there was none
	taken int64 // bytes that the kernel had taken then

	seen  int   // segments of the client by interfaces without gate, since the last with it
	since int64 // time of the first of them, ns

	// left is the end of what the kernel had sent when the connection was exposed no more.
	left      uint32
	leftKnown bool
}

const (
	// astrayAsks is how often the kernel is asked about a connection at most, ns.
	astrayAsks = 1e9
	// astraySeen is how many of the client's segments must have come by interfaces without
	// gate, and by none with it, and astrayFor over what time, ns: the gate comes to a
	// new interface a little later than the first packets.
	astraySeen = 3
	astrayFor  = 1e9
)

// strays returns what is kept of a connection, which is rarely anything.
func (m *Machine) strays(c *Conn) *astray {
	a := m.astray[c]
	if a == nil {
		if m.astray == nil {
			m.astray = map[*Conn]*astray{}
		}
		a = &astray{}
		m.astray[c] = a
	}
	return a
}

// cameBy takes note of the interface by which the tap has seen a client's segment at time t.
func (m *Machine) cameBy(c *Conn, t int64) {
	changed := c.in != m.via
	c.in = m.via
	a := m.astray[c]
	if m.via == 0 || !changed && (a == nil || a.seen == 0) {
		return
	}
	name := m.gate.Unguarded(int(m.via))
	if name == "" {
		if a != nil {
			a.seen = 0
		}
		return
	}
	a = m.strays(c)
	if a.seen == 0 {
		a.since = t
	}
	a.seen++
	if a.seen >= astraySeen && t-a.since >= astrayFor && c.state == Established && !c.behind(m.slotOf(c)) {
		m.unprotect(c, reason.OtherWay, name+", from its client")
	}
}

// sent is the end of what has left to the client of a live connection, as far as is known.
func (m *Machine) sent(c *Conn, slot *gate.Slot) uint32 {
	n := seqnum.Max(c.nxt, slot.SndNxt())
	if a := m.astray[c]; a != nil && a.leftKnown {
		if a.leftKnown = !c.is(recovered) && seqnum.Less(n, a.left); a.leftKnown { // else the gate has seen more since
			return a.left
		}
	}
	return n
}

// goesAstray reports whether a client's segment, and the kernel's socket, prove that the server's
// segments take another path, and then ends the protection. The client of a connection that is
// translated would accept none of those.
func (m *Machine) goesAstray(c *Conn, s *segment.Segment, slot *gate.Slot) bool {
	if c.is(recovered|exposed) || s.Flags&(segment.ACK|segment.SYN|segment.RST) != segment.ACK ||
		!seqnum.Less(m.sent(c, slot), s.Ack) && !seqnum.Less(slot.Edge(), s.Seq) {
		return false
	}
	a := m.strays(c)
	if d := m.now - a.asked; a.asked != 0 && d >= 0 && d < astrayAsks {
		return false
	}
	a.asked = m.now
	p, known := m.kernel.Progress(c.Flow)
	if !known {
		return false
	}
	// What the gate has seen since the kernel was asked counts.
	sent, end := m.sent(c, slot), c.iss+1+uint32(p.Sent)
	room := p.Received + int64(seqnum.Diff(slot.Edge(), c.irs+1+uint32(p.Received)))
	taken := a.taken
	a.taken = p.Received
	switch {
	case seqnum.Less(sent, s.Ack) && seqnum.LEQ(s.Ack, end):
		m.unprotect(c, reason.OtherWay, fmt.Sprintf("the gate has not seen the last %d bytes of its server", seqnum.Diff(end, sent)))
	case room+1 < taken: // a FIN needs no room
		m.unprotect(c, reason.OtherWay, "the gate has not seen the ACKs of its server")
	default:
		return false
	}
	return true
}
