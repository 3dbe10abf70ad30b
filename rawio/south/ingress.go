package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/gate"
)

// Segment takes a client's segment from the tap, which saw it at time t. The
// payload may be reused when Segment returns. The caller ends each batch of
// calls with Flush.
func (m *Machine) Segment(s *segment.Segment, t int64) {
	m.read()
	t = m.of(t)
	svc := m.services[s.Dst.Port()]
	if svc == nil || svc.fenced {
		return
	}
	flow := segment.Flow{Client: s.Src, Server: s.Dst}
	if s.Flags&(segment.SYN|segment.ACK|segment.RST) == segment.SYN {
		m.syn(svc, flow, s)
		return
	}
	c := m.conns.get(flow)
	if c == nil {
		m.stranger(svc, flow, s)
		return
	}
	c.last = m.now
	m.cameBy(c, t)
	m.exposeIfUngated(c)
	if m.over(c) && c.state != Resetting && c.state != Open {
		m.answerAfterEnd(c, s)
		if c.state == Established { // what was missing may be the kernel's last ACK, which no event reports
			m.finished(c)
		}
		return
	}
	switch c.state {
	case Outage, Reconnecting, Rolling:
		c.extra.unseen.see(t)
	}
	switch c.state {
	case Established:
		if c.wire != nil && len(s.Payload) > 0 {
			m.noteInput(c, s)
		}
		m.established(c, s, t)
	case Outage, Rolling:
		m.receiveInOutage(c, s)
	case Reconnecting:
		if c.wire != nil {
			m.receiveInOutage(c, s)
		} else if len(c.extra.deferred) < maxDeferred {
			c.extra.deferred = append(c.extra.deferred, clone(s))
		}
	case Open:
		m.opened(c, s, t)
	case Resetting:
		m.answerReset(c, s)
	}
}

// opened takes a segment of a connection that is no longer protected: the kernel
// has it, unless the gate stole it before the connection went live.
func (m *Machine) opened(c *Conn, s *segment.Segment, t int64) {
	if t <= c.extra.cutover {
		m.relay(s, m.slotOf(c))
	}
}

// maxFrozen bounds the segments kept over a spoofed handshake; the client
// repeats what is dropped.
const maxDeferred = 256

// established mirrors a segment that the gate lets the kernel have (figures
// 13, 20: data is logged while the kernel works on it). The kernel may be
// ahead of the core by now, and what the slot tells newer than when the kernel
// judged the segment: where that matters, more is accepted than the kernel
// does, which is harmless. The client says its bytes once and for all.
func (m *Machine) established(c *Conn, s *segment.Segment, t int64) {
	slot := m.slotOf(c)
	if m.mayEndProtection(c, s, slot) {
		m.endProtection(c)
		if c.state == Open {
			m.opened(c, s, t)
		}
		return
	}
	if m.goesAstray(c, s, slot) {
		return
	}
	m.noticeFIN(c, slot)
	shielded := c.shielded(s, slot)
	if x := c.extra; x != nil && x.cutover != 0 {
		switch {
		case t > x.cutover:
			x.cutover = 0
		case !shielded:
			m.relay(s, slot)
		}
	}
	kernel, before := slot.Ack(), c.rcvNxt()
	b := bounds{
		ack:  seqnum.Min(c.rcvNxt(), kernel),
		next: seqnum.Max(c.rcvNxt(), kernel),
		edge: slot.Edge(),
		sent: m.sent(c, slot),
	}
	if c.is(exposed) {
		b = m.widenExposed(c, s, b)
	}
	b = m.widenRestored(c, s, b)
	if c.hole != nil {
		c.hole.expectAnswer(s, b)
	}
	ahead := c.isAhead(s, b.edge)
	if ahead {
		s = c.bareACK(s, kernel)
	}
	v := m.judge(c, s, b)
	if s.Flags.Has(segment.RST) && s.Seq == kernel && (c.is(unaUnknown) || c.is(recovered) && seqnum.Less(kernel, c.rcvNxt())) {
		v = resets // the log may have more than the kernel has taken
	}
	switch v {
	case resets:
		m.end(c, "reset by the client")
		return
	case accept:
	case ignore:
		m.Stats.Refused++
		return
	default: // the kernel answers
		m.Stats.Refused++
		m.updateSndNxtRefused(c, s, slot)
		m.noteAgain(c, s, b)
		if m.hidesACKs(c, slot) || shielded {
			c.set(dupACKDue)
		}
		m.touch(c)
		return
	}
	if s.Flags.Has(segment.URG) {
		m.unprotect(c, reason.Urgent, "by the client")
		return
	}
	if ahead {
		m.relay(s, slot)
	}
	m.keepRefused(c, s, slot)
	m.accepted(c, s, b)
	if s.Len() > 0 && c.rcvNxt() == before && (m.hidesACKs(c, slot) || shielded) {
		c.set(dupACKDue)
	}
	if s.Len() > 0 && seqnum.Less(c.rcvNxt(), seqnum.Min(s.Seq, kernel)) {
		// The kernel acknowledges bytes that the tap has missed: have the
		// client send them again at once, rather than after its time-out.
		c.set(dupACKDue)
		m.Stats.Holes++
	}
}

// shielded reports whether the gate keeps a segment from the kernel because the client
// repeats itself: then the core answers it.
func (c *Conn) shielded(s *segment.Segment, slot *gate.Slot) bool {
	kernel := slot.Ack()
	return c.is(replayed) && c.is(finSent) && !s.Flags.Any(segment.SYN|segment.RST) &&
		seqnum.Less(s.Seq, kernel) && seqnum.LEQ(s.End(), kernel)
}

// hidesACKs reports whether the kernel's ACKs do not reach the client: the gate holds them
// because the log is behind, or the client refuses them as old.
func (m *Machine) hidesACKs(c *Conn, slot *gate.Slot) bool {
	return seqnum.Less(c.stableSeq(), slot.Ack()) || c.behind(slot)
}

// accepted takes acknowledgment, data and FIN of an acceptable segment.
func (m *Machine) accepted(c *Conn, s *segment.Segment, b bounds) {
	m.learn(c, s, b.ack)
	m.updateSndNxt(c, s)
	if c.hole != nil && s.Options.HasTS {
		c.hole.clock = seqnum.Max(c.hole.clock, s.Options.TSVal)
	}
	m.touch(c)
	// Urgent data is not taken in an outage: the log can't say which byte is none of the
	// stream's. The client says it again when the connection is live.
	if s.Len() > 0 && !s.Flags.Has(segment.URG) {
		c.high = seqnum.Max(c.high, seqnum.Min(s.End(), b.edge))
		m.data(c, s, b.edge)
	}
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
		return
	}
	if fin && end >= c.received {
		c.early = end // even if the log does not take all that comes before it
	}
	switch {
	case end <= c.received:
	case off <= c.received:
		if !m.take(c, p[c.received-off:], m.landed(c, off)) || !m.drain(c) {
			return
		}
	default:
		c.keep(off, p)
	}
	m.takeFIN(c)
}

// drain logs what has become contiguous, and reports whether all of it was taken.
func (m *Machine) drain(c *Conn) bool {
	for q := c.ahead.next(c.received); q != nil; q = c.ahead.next(c.received) {
		if !m.take(c, q, nil) {
			return false
		}
	}
	if c.ahead.empty() {
		c.ahead = nil
	}
	return true
}

// take gives contiguous bytes to the log and reports whether it took all. What it has no
// room for yet is kept until it has: see reopen. It may be all that the client lacks an
// acknowledgment of, and then the client says it again only after its time-out, which has
// doubled each time. That the window is open does not move it (Linux, whose window of
// congestion has room for this one segment).
func (m *Machine) take(c *Conn, p []byte, loan logserver.Loan) bool {
	off := c.received
	if m.append(c, p, loan) {
		return true
	}
	if c.is(limited) {
		c.keep(c.received, p[c.received-off:])
	}
	return false
}

// keep keeps what the log cannot take yet: it comes after a gap, or there is no room.
func (c *Conn) keep(off int64, p []byte) {
	if c.ahead == nil {
		c.ahead = &queue{}
	}
	c.ahead.insert(off, p, maxAhead)
}

// takeFIN logs the client's FIN if all that precedes it is.
func (m *Machine) takeFIN(c *Conn) {
	if c.early < 0 || c.early != c.received {
		return
	}
	c.fin, c.early, c.ahead = c.received, -1, nil
	if c.wire != nil {
		c.wire.closed = c.unaOff
	}
	if err := m.log.Finish(c.ID, c.fin); err != nil {
		c.fin, c.early = -1, c.received // as in take
		m.notTaken(c, err)
	}
}

// maxAhead bounds the bytes that one connection keeps. Its client's window does, too.
const maxAhead = 32 << 20

// append gives contiguous bytes to the log and reports whether it took all. They lie at
// the beginning of loan, unless that is nil.
func (m *Machine) append(c *Conn, p []byte, loan logserver.Loan) bool {
	if c.is(limited) {
		return false
	}
	for len(p) > 0 {
		n, why := int64(len(p)), ""
		if c.svc.Quota > 0 && c.quotaLeft() < n {
			n, why = c.quotaLeft(), "the connection's quota is used up"
		}
		if room := m.shared(c); room < n {
			n, why = room, "the log's total quota is used up, but for what is kept for connections with little in it"
		}
		if n <= 0 {
			m.full(c, why)
			return false
		}
		var taken int
		var err error
		if loan != nil {
			taken, err = loan.Commit(int(n))
			loan = nil
		} else {
			taken, err = m.log.Write(c.ID, c.received, p[:n])
		}
		c.received += int64(taken)
		m.Stats.Logged += uint64(taken)
		if err != nil {
			m.notTaken(c, err)
			return false
		}
		p = p[n:]
	}
	m.limit(c)
	m.noteReads(c)
	return true
}

// Slot returns the slot of a connection that is known.
func (m *Machine) Slot(f segment.Flow) (uint32, bool) {
	c := m.conns.get(f)
	if c == nil {
		return 0, false
	}
	return c.slot, true
}

// relay gives the kernel a segment that the gate stole before the connection
// went live again, translated as the gate would do it. A segment that the
// kernel got after all is a duplicate to it.
func (m *Machine) relay(s *segment.Segment, slot *gate.Slot) {
	d := *s
	d.Ack = toKernel(s.Ack, slot)
	if d.Options.HasTS && d.Options.TSEcr != 0 {
		d.Options.TSEcr -= slot.TSDelta()
	}
	d.Options.NSACK = 0 // the new stack has sent nothing that the old blocks name
	m.net.ToServer(&d)
}

// toKernel translates an ACK number as the gate does: cut to what the new stack
// has sent, and raised to where it began.
func toKernel(ack uint32, slot *gate.Slot) uint32 {
	return seqnum.Max(seqnum.Min(ack, slot.SndNxt()), slot.Base()) - slot.Delta()
}
