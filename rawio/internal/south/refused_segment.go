package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// At first the window of a reopened connection's socket ends below the right edge that its
// predecessor had advertised, and it stays closed while the handler still reads from the log. The
// client's segments in flight are lost, and it retransmits one of them again and again, after a
// time-out that doubles. A window update does not help: the client's stack waits for its time-out, or
// for an acknowledgment (on Linux that one segment fills the congestion window). So the core keeps the
// segment that the client has sent last, and gives it to the kernel as soon as there is room, like
// a network that has delayed it.

// The socket also ignores the acknowledgments of such a client, whose segments all lie beyond its
// window: it would send nothing more, and the server might read nothing more before it has sent. So
// the core passes them on with the sequence number that the socket expects.

// refusedMax is how much of a segment is kept, in bytes. To make the client go on, any
// acknowledgment suffices.
const refusedMax = 2 << 10

// keepRefused keeps a segment that the kernel expects next and has no room for.
func (m *Machine) keepRefused(c *Conn, s *segment.Segment, slot *gate.Slot) {
	kernel, edge, end := slot.Ack(), slot.Edge(), s.Seq+uint32(len(s.Payload))
	if !c.is(recovered) || len(s.Payload) == 0 ||
		seqnum.Less(kernel, s.Seq) || seqnum.LEQ(end, kernel) || seqnum.LEQ(end, edge) {
		return
	}
	k := *s
	if skip := kernel - k.Seq; skip > 0 {
		k.Seq, k.Payload = kernel, k.Payload[skip:]
	}
	if len(k.Payload) > refusedMax {
		k.Payload = k.Payload[:refusedMax]
		k.Flags &^= segment.FIN
	}
	c.ensureExtra().refused = clone(&k)
	m.lagging = true
	m.watch(c)
}

// deliverRefused gives the kernel the segment that it had no room for, if there is some now.
// It reports whether it still has to be kept.
func (m *Machine) deliverRefused(c *Conn) bool {
	x, slot := c.extra, m.slotOf(c)
	s := x.refused
	if end := s.Seq + uint32(len(s.Payload)); seqnum.LEQ(end, slot.Ack()) {
		x.refused = nil // it was retransmitted and accepted
		return false
	} else if seqnum.Less(slot.Edge(), end) || c.is(opening) {
		m.lagging = true
		return true
	}
	x.refused = nil
	if s.Options.HasTS { // newer segments may have arrived since (PAWS)
		s.Options.TSVal = seqnum.Max(s.Options.TSVal, c.peerTS)
	}
	m.relay(s, slot)
	m.established(c, s, m.now)
	return false
}

// isAhead reports whether a client's segment lies beyond the window of the kernel's new
// socket, whose right edge is edge, but below the right edge that the client was advertised before.
func (c *Conn) isAhead(s *segment.Segment, edge uint32) bool {
	if !c.is(recovered) {
		return false
	}
	c.advertised = seqnum.Max(c.advertised, edge)
	return seqnum.Less(edge, s.Seq) && seqnum.LEQ(s.Seq, c.advertised) &&
		s.Flags&(segment.SYN|segment.RST|segment.ACK) == segment.ACK
}

// bareACK returns an ACK with what a segment acknowledges, at the sequence number that the kernel
// expects. Its timestamp is not newer than TS.Recent: segments in between may still arrive.
func (c *Conn) bareACK(s *segment.Segment, kernel uint32) *segment.Segment {
	a := *s
	a.Seq, a.Flags, a.Payload = kernel, segment.ACK, nil
	if a.Options.HasTS {
		a.Options.TSVal = seqnum.Min(a.Options.TSVal, c.peerTS)
	}
	return &a
}
