package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Routes may change: packets of a connection that began where the gate is may take an
// interface without it, the other path. No event reports that, so the core infers it from the
// packets. The protection of such a connection ends.
//
// The server's packets take it if the client acknowledges bytes that the gate has not seen leave,
// or sends beyond the right window edge that the gate has seen advertised. Anybody may forge such a
// segment, so the core asks the kernel whether its socket has sent so much, or had received so much
// a second ago.
//
// The client's packets take it if the tap sees them on such interfaces only. Of stacked devices, a
// bridge and its port, one with the gate is enough: the tap sees each packet on both.

// otherPath is the evidence that a connection's packets take an interface without the gate.
type otherPath struct {
	queriedAt int64 // time of the last call of Kernel.Progress, ns; 0: there was none
	received  int64 // bytes that the kernel's socket had received then

	ungated int   // segments of the client on interfaces without the gate, since the last one on an interface with it
	since   int64 // time of the first of them, ns

	// sentEnd is the sequence end of what the kernel had sent when the connection was no longer
	// exposed, if sentKnown.
	sentEnd   uint32
	sentKnown bool
}

const (
	// otherPathQueryEvery is the shortest time between two queries of the kernel about a connection,
	// ns.
	otherPathQueryEvery = 1e9
	// otherPathSegments is how many segments of the client must have arrived in a row on interfaces
	// without the gate, and otherPathAfter over what time, ns: on a new interface the first packets
	// may precede the gate.
	otherPathSegments = 3
	otherPathAfter    = 1e9
)

// otherPathOf returns the evidence for a connection; few connections have any.
func (m *Machine) otherPathOf(c *Conn) *otherPath {
	a := m.otherPaths[c]
	if a == nil {
		if m.otherPaths == nil {
			m.otherPaths = map[*Conn]*otherPath{}
		}
		a = &otherPath{}
		m.otherPaths[c] = a
	}
	return a
}

// noteInterface notes the interface on which the tap has seen a client's segment at time t.
func (m *Machine) noteInterface(c *Conn, t int64) {
	changed := c.in != m.via
	c.in = m.via
	a := m.otherPaths[c]
	if m.via == 0 || !changed && (a == nil || a.ungated == 0) {
		return
	}
	name := m.gate.Unguarded(int(m.via))
	if name == "" {
		if a != nil {
			a.ungated = 0
		}
		return
	}
	a = m.otherPathOf(c)
	if a.ungated == 0 {
		a.since = t
	}
	a.ungated++
	if a.ungated >= otherPathSegments && t-a.since >= otherPathAfter && c.state == Established && !c.behind(m.slotOf(c)) {
		m.unprotect(c, reason.OtherWay, name+", from its client")
	}
}

// sent is SND.NXT of a live connection, as far as is known.
func (m *Machine) sent(c *Conn, slot *gate.Slot) uint32 {
	n := seqnum.Max(c.nxt, slot.SndNxt())
	if a := m.otherPaths[c]; a != nil && a.sentKnown {
		if a.sentKnown = !c.is(recovered) && seqnum.Less(n, a.sentEnd); a.sentKnown { // else the gate has seen more since
			return a.sentEnd
		}
	}
	return n
}

// usesOtherPath reports whether a client's segment, and the kernel's socket, prove that the server's
// segments take the other path, and then ends the protection. Translated connections are not
// concerned: their clients would accept no segment that was not translated.
func (m *Machine) usesOtherPath(c *Conn, s *segment.Segment, slot *gate.Slot) bool {
	if c.is(recovered|exposed) || s.Flags&(segment.ACK|segment.SYN|segment.RST) != segment.ACK ||
		!seqnum.Less(m.sent(c, slot), s.Ack) && !seqnum.Less(slot.Edge(), s.Seq) {
		return false
	}
	a := m.otherPathOf(c)
	if d := m.now - a.queriedAt; a.queriedAt != 0 && d >= 0 && d < otherPathQueryEvery {
		return false
	}
	a.queriedAt = m.now
	p, known := m.kernel.Progress(c.Flow)
	if !known {
		return false
	}
	// What the gate has seen since the kernel was asked counts.
	sent, end := m.sent(c, slot), c.iss+1+uint32(p.Sent)
	room := p.Received + int64(seqnum.Diff(slot.Edge(), c.irs+1+uint32(p.Received)))
	taken := a.received
	a.received = p.Received
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
