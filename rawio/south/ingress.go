package south

import (
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/segment"
)

// Segment takes a client's segment from the tap, which saw it at time t. The
// payload may be reused when Segment returns. The caller ends each batch of
// calls with Flush.
func (m *Machine) Segment(s *segment.Segment, t int64) {
	m.now = m.env.Now()
	svc := m.services[s.Dst.Port()]
	if svc == nil {
		return
	}
	flow := segment.Flow{Client: s.Src, Server: s.Dst}
	if s.Flags&(segment.SYN|segment.ACK|segment.RST) == segment.SYN {
		m.syn(svc, flow, s)
		return
	}
	c := m.conns[flow]
	if c == nil {
		return
	}
	c.last = m.now
	switch c.state {
	case Established:
		m.established(c, s, t)
	case Outage:
		m.absorb(c, s)
	case Reconnecting:
		if len(c.extra.frozen) < maxFrozen {
			c.extra.frozen = append(c.extra.frozen, clone(s))
		}
	case Resetting:
		m.answerReset(c, s)
	}
}

// maxFrozen bounds the segments kept over a spoofed handshake; the client
// repeats what is dropped.
const maxFrozen = 256

// established mirrors a segment that the gate lets the kernel have (figures
// 13, 20: data is logged while the kernel works on it).
func (m *Machine) established(c *Conn, s *segment.Segment, t int64) {
	slot := m.env.Slot(c.slot)
	relay := false
	if x := c.extra; x != nil && x.cutover != 0 {
		if relay = t <= x.cutover; !relay {
			x.cutover = 0
		}
	}
	b := bounds{
		ack:  seqnum.Min(c.rcvNxt(), slot.Ack()),
		edge: slot.Edge(),
		sent: seqnum.Max(c.nxt, slot.SndNxt()),
	}
	v := c.judge(s, b)
	if relay {
		m.relay(c, s, slot)
	}
	switch v {
	case resets:
		c.set(clientRST)
		m.remove(c, "reset by the client")
		return
	case refuse, challenge: // the kernel answers
		m.Stats.Refused++
		return
	}
	m.accepted(c, s, b.edge)
	if seqnum.Less(c.rcvNxt(), seqnum.Min(s.Seq, slot.Ack())) && s.Len() > 0 {
		// The kernel acknowledges bytes that the tap has missed: have the
		// client send them again at once, rather than after its time-out.
		c.set(dupAck)
		m.Stats.Holes++
	}
}

// accepted takes acknowledgment, data and FIN of an acceptable segment.
func (m *Machine) accepted(c *Conn, s *segment.Segment, edge uint32) {
	c.learn(s)
	if end := s.End(); s.Len() > 0 {
		c.high = seqnum.Max(c.high, seqnum.Min(end, edge))
		m.data(c, s, edge)
	}
	m.touch(c)
}

// data logs what a segment adds to the client's stream.
func (m *Machine) data(c *Conn, s *segment.Segment, edge uint32) {
	p, fin := s.Payload, s.Flags.Has(segment.FIN)
	if over := seqnum.Diff(s.Seq+uint32(len(p)), edge); over > 0 {
		p, fin = p[:max(0, len(p)-int(over))], false
	}
	off := seqnum.Unwrap(s.Seq, c.irs+1, c.received)
	end := off + int64(len(p))
	if c.fin >= 0 { // nothing follows a FIN
		if end > c.fin {
			return
		}
		fin = false
	}
	switch {
	case end <= c.received:
	case off <= c.received:
		if !m.append(c, p[c.received-off:]) {
			return
		}
		for q := c.ahead.next(c.received); q != nil; q = c.ahead.next(c.received) {
			if !m.append(c, q) {
				return
			}
		}
	default:
		c.ahead.insert(off, p, maxAhead)
	}
	if fin && end >= c.received {
		c.early = end
	}
	if c.early == c.received && c.fin < 0 {
		c.fin, c.early = c.received, -1
		c.ahead.clear()
		if err := m.log.Finish(c.ID, c.fin); err != nil {
			m.logFailed(c, err)
		}
	}
}

// maxAhead bounds the bytes that one connection keeps beyond a gap.
const maxAhead = 32 << 20

// append gives contiguous bytes to the log and reports whether it took all.
func (m *Machine) append(c *Conn, p []byte) bool {
	if c.is(limited) {
		return false
	}
	n := int64(len(p))
	if m.cfg.Quota > 0 {
		n = min(n, m.cfg.Quota-c.received)
	}
	if n > 0 {
		if err := m.log.Write(c.ID, c.received, p[:n]); err != nil {
			m.logFailed(c, err)
			return false
		}
		c.received += n
		m.Stats.Logged += uint64(n)
	}
	m.limit(c)
	if n < int64(len(p)) {
		m.full(c, "the connection's quota is used up")
		return false
	}
	return true
}

// relay gives the kernel a segment that the gate stole before the connection
// went live again, translated as the gate would do it. A segment that the
// kernel got after all is a duplicate to it.
func (m *Machine) relay(c *Conn, s *segment.Segment, slot *gate.Slot) {
	d := *s
	d.Ack = seqnum.Min(s.Ack, slot.SndNxt()) - slot.Delta()
	if d.Options.HasTS {
		d.Options.TSEcr -= slot.TSDelta()
	}
	d.Options.NSACK = 0 // the new stack has sent nothing that the old blocks name
	m.env.ToServer(&d)
}
