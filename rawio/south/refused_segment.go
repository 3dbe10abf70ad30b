package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// A reopened connection's socket takes less at first than its predecessor had
// promised, and nothing while the handler still reads what is in the log. What the
// client had in flight it loses, and sends one segment of it again and again, after
// a time-out that doubles. It is of no use to tell that client that the window is
// open: its stack waits for the time-out, or for something to be acknowledged (Linux,
// whose one segment in flight is all that its window of congestion allows). So the
// core keeps what the client has sent last of that, and gives it to the kernel as
// soon as there is room, as a network would that had held it up.

// Nor does the socket take what such a client acknowledges, all of which has numbers beyond
// its window: it would not send more, and may read no more before it has. That the core tells
// it from the number on that it expects.

// offerMost is how much of a segment is kept, in bytes: any acknowledgment will do.
const offerMost = 2 << 10

// keepRefused keeps the segment that is next for a kernel which has no room for it.
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
	if len(k.Payload) > offerMost {
		k.Payload = k.Payload[:offerMost]
		k.Flags &^= segment.FIN
	}
	c.more().refused = clone(&k)
	m.lagging = true
	m.watch(c)
}

// offer gives the kernel the segment that it had no room for, if there is some now.
// It reports whether it still has to be kept.
func (m *Machine) offer(c *Conn) bool {
	x, slot := c.extra, m.slotOf(c)
	s := x.refused
	if end := s.Seq + uint32(len(s.Payload)); seqnum.LEQ(end, slot.Ack()) {
		x.refused = nil // it came again, and was taken
		return false
	} else if seqnum.Less(slot.Edge(), end) || c.is(opening) {
		m.lagging = true
		return true
	}
	x.refused = nil
	if s.Options.HasTS { // it may have said something since (PAWS)
		s.Options.TSVal = seqnum.Max(s.Options.TSVal, c.peerTS)
	}
	m.relay(s, slot)
	m.established(c, s, m.now)
	return false
}

// isAhead reports whether a client's segment lies beyond the window of the kernel's new
// socket, whose right edge is edge, but where it was promised room before.
func (c *Conn) isAhead(s *segment.Segment, edge uint32) bool {
	if !c.is(recovered) {
		return false
	}
	c.promised = seqnum.Max(c.promised, edge)
	return seqnum.Less(edge, s.Seq) && seqnum.LEQ(s.Seq, c.promised) &&
		s.Flags&(segment.SYN|segment.RST|segment.ACK) == segment.ACK
}

// bareACK is what a segment acknowledges, at the number that the kernel expects, without a
// newer time: what lies between may come yet.
func (c *Conn) bareACK(s *segment.Segment, kernel uint32) *segment.Segment {
	a := *s
	a.Seq, a.Flags, a.Payload = kernel, segment.ACK, nil
	if a.Options.HasTS {
		a.Options.TSVal = seqnum.Min(a.Options.TSVal, c.peerTS)
	}
	return &a
}
