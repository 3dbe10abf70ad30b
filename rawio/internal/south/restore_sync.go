package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Probes. A segment outside the receive window makes a TCP answer with
// an ACK (RFC 9293, section 3.10.7.4), on Linux at most every 500 ms. The probe itself has no effect:
// what it acknowledges was acknowledged before, or may be acknowledged, and the client
// does not process it.
const (
	probeFirst = 500e6 // between two probes at first, ns; it doubles
	probeLast  = 30e9
	probeLocal = 200e6 // how often to check whether the address is this host's
	probeGap   = 100e6 // shortest time between probes that answer segments of the client
	// probesPerTick bounds the probes of one tick.
	probesPerTick = 500
)

// probe probes the client of a connection that is not synchronized. The client's window is not known:
// of two sequence numbers 2 GiB apart, at least one lies outside it.
func (m *Machine) probe(c *Conn) {
	x, r := c.extra, c.extra.restore
	s := c.ackSegment(c.stableSeq(), x.edge)
	s.Seq = c.iss + uint32(r.probes&1)<<31
	s.Options.TSVal, s.Options.TSEcr = x.tsval, c.peerTS // older than what the client has
	r.probeAt = m.now + min(int64(probeFirst)<<min(r.probes, 8), probeLast)
	r.probes++
	x.ackedAt = m.now
	m.noteProbe(c)
	m.trace(c, s.Ack)
	m.Stats.ACKs++
	m.net.ToClient(s)
}

// tickUnsynced probes the client of a restored connection from time to time.
func (m *Machine) tickUnsynced(c *Conn) {
	r := c.extra.restore
	if m.now < r.probeAt {
		return
	}
	switch {
	case m.probed >= probesPerTick:
		m.lagging = true
	case !m.kernel.Local(c.Flow.Server):
		// The answer would go to another host, if one has the address.
		r.since, r.probeAt = m.now, m.now+probeLocal
	case m.now-r.since >= m.cfg.Unanswered:
		m.end(c, "its client does not answer")
	default:
		m.probed++
		m.probe(c)
	}
}

// answerUnsynced answers a segment that did not synchronize the connection, with a probe.
func (m *Machine) answerUnsynced(c *Conn) {
	if c.is(ackDue) && m.now-c.extra.ackedAt >= probeGap {
		m.probe(c)
	}
	c.unset(ackDue)
}

// synchronize takes the first segment of a restored connection's client, and learns the client's
// numbers from it. It reports whether that was possible: the sequence number must be one that the
// client can have. It can be below the stable number, if the client has
// not got the ACK of that, or, in an answer, at the right edge of the window.
func (m *Machine) synchronize(c *Conn, s *segment.Segment) bool {
	r, stable := c.extra.restore, c.stableSeq()
	una, nxt := c.una, c.nxt
	c.una, c.nxt = s.Ack, s.Ack // any ACK number is new
	v := m.judge(c, s, bounds{ack: stable - 65535<<c.server.wscale, next: stable, edge: r.accept, sent: s.Ack})
	if v == accept && c.unwrapOutput(s.Ack, &r.out) < 0 { // not of this connection: no client has it before the SYN-ACK
		v = challenge
	}
	switch v {
	case accept:
	case resets:
		m.end(c, "reset by the client")
		return false
	case ignore:
		c.una, c.nxt = una, nxt
		return false
	default:
		c.una, c.nxt = una, nxt
		c.set(ackDue)
		m.touch(c)
		return false
	}
	m.learnFirst(c, s)
	if r.lost != "" {
		m.reset(c, r.lost)
		return false
	}
	return true
}

// learnFirst takes from the client's first segment how much of the server's
// stream it has, its window and its timestamp. una and nxt are set already.
func (m *Machine) learnFirst(c *Conn, s *segment.Segment) {
	x, o := c.extra, &c.extra.restore.out
	c.unaOff = c.unwrapOutput(s.Ack, o)
	if d := c.start().Out - c.unaOff; d > 0 { // an old segment: what precedes the log was acknowledged
		c.una, c.unaOff = c.una+uint32(d), c.start().Out
		c.nxt = c.una
	}
	// The window is taken here because the segment may be a retransmission, which is refused later on,
	// and the only one that comes. With an older window the new server would send what its client
	// refuses.
	c.peerWindow = s.Window
	c.maxWindow = max(c.maxWindow, uint32(s.Window)<<c.client.wscale)
	x.restore.synced = true
	c.set(confirmed)
	x.restore.next, x.restore.since = s.End(), m.now
	if o.Closed {
		c.set(finReported)
		c.meantFIN(c.iss + 1 + uint32(o.End) + 1)
		c.nxt = seqnum.Max(c.nxt, c.finEnd)
	} else {
		c.set(finDoubtful)
		if c.unaOff > c.start().Out {
			c.una, c.unaOff = c.una-1, c.unaOff-1
		}
	}
	if c.server.ts() && s.Options.HasTS {
		x.tsval = s.Options.TSEcr
		// Wherever the segment lies: the client measures its round-trip time by the echo.
		c.peerTS, c.tsAt = s.Options.TSVal, m.seconds()
	}
	slot := m.slotOf(c)
	slot.SetSndNxt(c.nxt)
	slot.SetTS(x.tsval, c.peerTS)
	if c.wire != nil {
		c.wire.ackedAtClose = c.outputOff(c.ackedEnd())
		m.forgetOutput(c)
	}
	m.Stats.Synced++
}
