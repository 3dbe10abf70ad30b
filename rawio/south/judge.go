package south

import (
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/segment"
)

// verdict is what the kernel's TCP would make of a segment.
type verdict uint8

const (
	accept    verdict = iota
	refuse            // dropped, perhaps answered by an ACK
	resets            // a valid RST
	challenge         // RFC 5961: must be answered by a challenge ACK
)

// bounds are the numbers against which a segment is judged.
type bounds struct {
	ack  uint32 // lowest receive number: what was acknowledged to the client
	edge uint32 // right edge of the window that the client was promised
	sent uint32 // highest number that was sent to the client
}

// judge mirrors the checks of RFC 9293 section 3.10.7.4, RFC 7323 section 5.3
// (PAWS) and RFC 5961 on a segment of a synchronized connection, in the order
// in which Linux makes them. What the kernel refuses must not be logged.
func (c *Conn) judge(s *segment.Segment, b bounds) verdict {
	next := c.rcvNxt()
	if c.stale(s) && !s.Flags.Has(segment.RST) {
		return refuse
	}
	if !seqnum.LEQ(b.ack, s.End()) || seqnum.Less(b.edge, s.Seq) {
		// A client whose window is closed may still reset the connection.
		if s.Flags.Has(segment.RST) && s.Seq == next {
			return resets
		}
		return refuse
	}
	switch {
	case s.Flags.Has(segment.RST):
		if s.Seq == next || s.Seq == b.ack {
			return resets
		}
		return challenge
	case s.Flags.Has(segment.SYN):
		return challenge
	case !s.Flags.Has(segment.ACK):
		return refuse
	case seqnum.Less(b.sent, s.Ack):
		return refuse // acknowledges what was never sent
	case seqnum.Less(s.Ack, c.una-c.maxWindow):
		return refuse // RFC 5961 section 5
	}
	return accept
}

// stale is the test of PAWS: a timestamp older than the newest one in order.
func (c *Conn) stale(s *segment.Segment) bool {
	return c.server.ts && s.Options.HasTS && seqnum.Less(s.Options.TSVal, c.peerTS)
}

// learn takes from an acceptable segment what it tells of the client: its
// acknowledgment, window and timestamp.
func (c *Conn) learn(s *segment.Segment) {
	if d := seqnum.Diff(s.Ack, c.una); d > 0 {
		c.una, c.unaOff = s.Ack, c.unaOff+int64(d)
	}
	c.peerWindow = s.Window
	if w := uint32(s.Window) << c.client.wscale; w > c.maxWindow {
		c.maxWindow = w
	}
	// RFC 7323 section 4.3: only a segment that begins at or before what was
	// acknowledged last renews TS.Recent.
	if c.server.ts && s.Options.HasTS && seqnum.LEQ(s.Seq, c.rcvNxt()) {
		c.peerTS = seqnum.Max(c.peerTS, s.Options.TSVal)
	}
	if c.is(finSent) && seqnum.LEQ(c.finEnd, c.una) {
		c.set(finAcked)
	}
}
