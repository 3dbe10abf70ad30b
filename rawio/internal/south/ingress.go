package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Segment takes a client's segment from the tap, which saw it at time t. The
// payload may be reused when Segment returns. The caller ends each batch of
// calls with Flush.
func (m *Machine) Segment(s *segment.Segment, t int64) {
	m.readClock()
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
		m.unknownSegment(svc, flow, s)
		return
	}
	c.last = m.now
	m.noteInterface(c, t)
	m.exposeIfUngated(c)
	if m.over(c) && c.state != Resetting && c.state != Open {
		m.answerAfterEnd(c, s)
		if c.state == Established { // the kernel's last ACK may have left meanwhile, which no event reports
			m.finished(c)
		}
		return
	}
	switch c.state {
	case Outage, Reconnecting, Rolling:
		c.extra.unseen.noteSeen(t)
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

// maxDeferred bounds the segments kept during a spoofed handshake; the client
// retransmits what is dropped.
const maxDeferred = 256

// established takes a segment that the gate passes to the kernel (figures
// 13, 20: data is logged while the kernel processes it). The kernel may be
// ahead of the core by now, and the slot may be newer than when the kernel
// judged the segment. Where that matters, the core accepts more than the kernel
// does, which is harmless: the bytes of a stream never change.
func (m *Machine) established(c *Conn, s *segment.Segment, t int64) {
	slot := m.slotOf(c)
	if m.mayEndProtection(c, s, slot) {
		m.endProtection(c)
		if c.state == Open {
			m.opened(c, s, t)
		}
		return
	}
	if m.usesOtherPath(c, s, slot) {
		return
	}
	m.noticeFIN(c, slot)
	repeated := c.answeredByCore(s, slot)
	if x := c.extra; x != nil && x.cutover != 0 {
		switch {
		case t > x.cutover:
			x.cutover = 0
		case !repeated:
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
	if c.missing != nil {
		c.missing.countAnswerable(s, b)
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
		m.noteRetransmitTS(c, s, b)
		if m.hidesACKs(c, slot) || repeated {
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
	if s.Len() > 0 && c.rcvNxt() == before && (m.hidesACKs(c, slot) || repeated) {
		c.set(dupACKDue)
	}
	if s.Len() > 0 && seqnum.Less(c.rcvNxt(), seqnum.Min(s.Seq, kernel)) {
		// The kernel acknowledges bytes that the tap has missed: a duplicate ACK makes the
		// client retransmit them at once, rather than after its time-out.
		c.set(dupACKDue)
		m.Stats.TapGaps++
	}
}

// answeredByCore reports whether the gate keeps a segment from the kernel because it is a
// retransmission (gate.FlagCookie): then the core answers it.
func (c *Conn) answeredByCore(s *segment.Segment, slot *gate.Slot) bool {
	kernel := slot.Ack()
	return c.is(cookieSocket) && c.is(finSent) && !s.Flags.Any(segment.SYN|segment.RST) &&
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
	if c.missing != nil && s.Options.HasTS {
		c.missing.tsval = seqnum.Max(c.missing.tsval, s.Options.TSVal)
	}
	m.touch(c)
	// Urgent data is not taken in an outage: the log cannot mark the byte that does not belong to the
	// stream. The client retransmits it when the connection is live.
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
		c.early = end // even if the log does not accept all that precedes it
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

// take gives contiguous bytes to the log and reports whether it took all. Bytes that it has no
// room for yet are kept until it has: see reopen. They may be all that the client has in flight,
// and then the client would retransmit them only after its time-out, which has
// doubled each time. A window update would not make it send sooner (on Linux this one segment fills
// the congestion window).
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

// keep keeps bytes that the log cannot take yet: they follow a gap, or there is no room.
func (c *Conn) keep(off int64, p []byte) {
	if c.ahead == nil {
		c.ahead = &queue{}
	}
	c.ahead.insert(off, p, maxAhead)
}

// takeFIN logs the client's FIN if all that precedes it is logged.
func (m *Machine) takeFIN(c *Conn) {
	if c.early < 0 || c.early != c.received {
		return
	}
	c.fin, c.early, c.ahead = c.received, -1, nil
	if c.wire != nil {
		c.wire.ackedAtClose = c.unaOff
	}
	if err := m.log.Finish(c.ID, c.fin); err != nil {
		c.fin, c.early = -1, c.received // as in take
		m.writeFailed(c, err)
	}
}

// maxAhead bounds the bytes that one connection keeps; so does the window that its client is offered.
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
			m.logFull(c, why)
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
			m.writeFailed(c, err)
			return false
		}
		p = p[n:]
	}
	m.limit(c)
	m.noteReads(c)
	return true
}

// Slot returns the slot of a flow's connection, and false if there is no connection.
func (m *Machine) Slot(f segment.Flow) (uint32, bool) {
	c := m.conns.get(f)
	if c == nil {
		return 0, false
	}
	return c.slot, true
}

// relay gives the kernel a segment that the gate held before the connection
// went live again, translated as by the gate. If the kernel has got the segment after all, this is
// a duplicate.
func (m *Machine) relay(s *segment.Segment, slot *gate.Slot) {
	d := *s
	d.Ack = toKernel(s.Ack, slot)
	if d.Options.HasTS && d.Options.TSEcr != 0 {
		d.Options.TSEcr -= slot.TSDelta()
	}
	d.Options.NSACK = 0 // the blocks refer to data that the new stack has not sent
	m.net.ToServer(&d)
}

// toKernel translates an ACK number as the gate does: it is at most what the new stack
// has sent, and at least where it began.
func toKernel(ack uint32, slot *gate.Slot) uint32 {
	return seqnum.Max(seqnum.Min(ack, slot.SndNxt()), slot.Base()) - slot.Delta()
}
