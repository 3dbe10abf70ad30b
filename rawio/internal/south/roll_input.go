package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// feedMax is the payload of a segment to the restarted server, bytes: with the
// headers and what the kernel adds it just fits 32 KiB, a size that the kernel
// has at hand.
const feedMax = 32000

// feed sends the server as much of the log as its window has room for.
func (m *Machine) feed(c *Conn) {
	r := c.extra.roll
	m.readAhead(c)
	for end := min(c.stable, c.received); r.sent < end; {
		n := min(end-r.sent, r.edge-r.sent, feedMax)
		// Silly window avoidance (RFC 9293 section 3.8.6.2.1): no small segments while there is more.
		// The window opens again as the server reads.
		if n <= 0 || n < min(end-r.sent, feedMin) && r.sent > r.acked {
			return
		}
		p := m.logged(c, r.sent, n)
		if len(p) == 0 {
			m.readAhead(c) // new data may be needed now
			return
		}
		s := m.rollAck(c, r.outAcked, r.edgeOut)
		s.Flags |= segment.PSH
		s.Payload = p
		r.sent += int64(len(p))
		r.most = max(r.most, r.sent)
		m.Stats.Fed += uint64(len(p))
		m.net.ToServer(s)
	}
	// The client closed after it had got the replies up to that point. A server that gets the FIN
	// before it has sent them may abandon them.
	if c.fin >= 0 && c.is(finLogged) && r.sent == c.fin && (r.out >= min(c.wire.ackedAtClose, c.outputOff(c.sentEnd())) || m.feedsFINEarly(c)) {
		s := m.rollAck(c, r.outAcked, r.edgeOut)
		s.Flags |= segment.FIN
		r.sent++
		r.most = max(r.most, r.sent)
		m.net.ToServer(s)
	}
}

// feedMin is the payload, bytes, below which a segment waits for a larger window.
const feedMin = 4096

// ackServer acknowledges the server's output, with the newest window.
func (m *Machine) ackServer(c *Conn) {
	r := c.extra.roll
	r.ackDue = false
	r.outAcked = max(r.outAcked, min(r.out, c.outputOff(c.ackedEnd())))
	r.edgeOut = max(r.edgeOut, m.outputEdge(c))
	m.net.ToServer(m.rollAck(c, r.withFIN(c, r.outAcked), r.edgeOut))
}

// withFIN adds the server's FIN to an offset that precedes it, if the client has
// acknowledged the FIN. Otherwise the kernel would get no ACK of it: the client may have no such
// connection any more, and would answer with a RST.
func (r *roll) withFIN(c *Conn, acked int64) int64 {
	if r.fin >= 0 && acked == r.fin && c.is(finAcked) {
		return acked + 1
	}
	return acked
}

// outputEdge returns the right window edge for the server: what the captures have room for,
// and not much beyond the client's own window. A little more than
// that does no harm, while a window that ends within a segment makes the sender
// wait.
func (m *Machine) outputEdge(c *Conn) int64 {
	const least, most = 32 << 10, 1 << 20
	r := c.extra.roll
	share := int64(min(max(m.cfg.Captures/2/max(m.rolling, 1), least), most))
	una := c.outputOff(c.ackedEnd())
	return min(r.out+share, max(c.clientWindow(), una+2*int64(max(c.client.mss, defaultMSS))))
}

// clientWindow returns the client's right window edge as an offset in the server's
// stream.
func (c *Conn) clientWindow() int64 {
	return c.outputOff(c.ackedEnd()) + int64(c.peerWindow)<<c.client.wscale
}

// rollAck starts a segment in the client's name, at the next byte to send, that
// acknowledges the server's output up to an offset and offers room up to edge.
func (m *Machine) rollAck(c *Conn, acked, edge int64) *segment.Segment {
	r := c.extra.roll
	s := m.asClient(c)
	s.Seq, s.Flags = c.irs+1+uint32(r.sent), segment.ACK
	s.Ack = c.outputSeq(acked) - r.delta
	s.Window = uint16(min(max(edge-acked, 0)>>c.client.wscale, 65535))
	s.Options.TSEcr = r.tsval
	return s
}

// inputAcked takes the ACK number and the window of a captured segment.
func (m *Machine) inputAcked(c *Conn, s *segment.Segment) {
	r := c.extra.roll
	if !s.Flags.Has(segment.ACK) {
		return
	}
	acked := seqnum.Unwrap(s.Ack, c.irs+1, r.acked)
	if acked < r.acked || acked > c.received+1 {
		return
	}
	if acked > r.acked {
		r.acked, r.movedAt = acked, m.now
		r.sent = max(r.sent, acked)
	}
	if edge := acked + int64(s.Window)<<r.wscale; edge > r.edge {
		r.edge, r.movedAt = edge, m.now
	}
}
