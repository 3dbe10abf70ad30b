package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Probes. A segment that lies outside of its window makes a living TCP answer with
// an ACK (RFC 9293, section 3.10.7.4), at most every 500 ms with Linux. It tells
// nothing: what it acknowledges was acknowledged before, or may be, and the client
// does not look at it.
const (
	probeFirst = 500e6 // between two probes at first, ns; it doubles
	probeLast  = 30e9
	probeLocal = 200e6 // how often it is looked whether the address is this host's
	probeGap   = 100e6 // between the probes that answer what the client says
	// probesPerTick bounds the probes that leave at once.
	probesPerTick = 500
)

// probe asks the client of a connection that is not synchronized for a sign of life. Numbers repeat
// after 4 GiB of output: if one of two half of that apart lies in the window, the
// other does not.
func (m *Machine) probe(c *Conn) {
	x, r := c.extra, c.extra.restore
	s := c.ackSegment(c.stableSeq(), x.edge)
	s.Seq = c.iss + uint32(r.probes&1)<<31
	s.Options.TSVal, s.Options.TSEcr = x.tsval, c.peerTS // older than what the client has
	r.probeAt = m.now + min(int64(probeFirst)<<min(r.probes, 8), probeLast)
	r.probes++
	x.ackedAt = m.now
	m.asks(c)
	m.trace(c, s.Ack)
	m.Stats.ACKs++
	m.net.ToClient(s)
}

// tickUnsynced asks the client of a restored connection from time to time.
func (m *Machine) tickUnsynced(c *Conn) {
	r := c.extra.restore
	if m.now < r.probeAt {
		return
	}
	switch {
	case m.probed >= probesPerTick:
		m.lagging = true
	case !m.kernel.Local(c.Flow.Server):
		// Its answer would go to another host, if there is one that has the address.
		r.since, r.probeAt = m.now, m.now+probeLocal
	case m.now-r.since >= m.cfg.Unanswered:
		m.end(c, "its client does not answer")
	default:
		m.probed++
		m.probe(c)
	}
}

// answerUnsynced replaces the answer to a segment that did not tell enough.
func (m *Machine) answerUnsynced(c *Conn) {
	if c.is(ackDue) && m.now-c.extra.ackedAt >= probeGap {
		m.probe(c)
	}
	c.unset(ackDue)
}

// synchronize takes the first segment of a restored connection's client, and learns
// from it. It reports whether that was possible: segments that lie elsewhere than
// the client can be are not believed. It can be before what is stable, if it has
// not got the ACK of that, or, in an answer, at the right edge of its window.
func (m *Machine) synchronize(c *Conn, s *segment.Segment) bool {
	r, stable := c.extra.restore, c.stableSeq()
	una, nxt := c.una, c.nxt
	c.una, c.nxt = s.Ack, s.Ack // whatever it acknowledges is news
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

// learnFirst fixes what the client's first segment tells: how much of the server's
// stream it has. una and nxt are set.
func (m *Machine) learnFirst(c *Conn, s *segment.Segment) {
	x, o := c.extra, &c.extra.restore.out
	c.unaOff = c.unwrapOutput(s.Ack, o)
	if d := c.start().Out - c.unaOff; d > 0 { // an old segment: what precedes the log was acknowledged
		c.una, c.unaOff = c.una+uint32(d), c.start().Out
		c.nxt = c.una
	}
	// Of a repetition, which may be the only segment that comes, the bounds take
	// nothing else. An earlier window would have the new server send what its
	// client refuses.
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
		c.set(doubtful)
		if c.unaOff > c.start().Out {
			c.una, c.unaOff = c.una-1, c.unaOff-1
		}
	}
	if c.server.ts() && s.Options.HasTS {
		x.tsval = s.Options.TSEcr
		// Wherever the segment lies: the client takes what is echoed for the time
		// that an answer has needed.
		c.peerTS, c.tsAt = s.Options.TSVal, m.seconds()
	}
	slot := m.slotOf(c)
	slot.SetSndNxt(c.nxt)
	slot.SetTS(x.tsval, c.peerTS)
	if c.wire != nil {
		c.wire.closed = c.outputOff(c.ackedEnd())
		m.forgetOutput(c)
	}
	m.Stats.Synced++
}
