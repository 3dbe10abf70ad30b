package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// hold keeps a FIN or RST that the gate holds until it is known whether it is meant.
func (m *Machine) hold(c *Conn, kind gate.EventKind, s *segment.Segment, length uint32, whole bool) {
	if c.state != Established && c.state != Open {
		return
	}
	x := c.ensureExtra()
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) && c.missing != nil && m.noteSocketGone(c) {
		return
	}
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) && c.is(finSent) && !c.is(finAcked) {
		// Such an answer has the client's ACK number as its sequence number. It shows that the FIN was
		// acknowledged, which the tap has missed. So does a lower number if both sides
		// have closed: the kernel keeps the socket until the FIN is acknowledged.
		seq := s.Seq + m.slotOf(c).Delta()
		if seq == c.finEnd || seqnum.Less(seq, c.finEnd) && c.fin >= 0 && m.head(c).Closing {
			m.noteAllAcked(c)
			return
		}
	}
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) && m.missesFIN(c, s) {
		m.sendServerFIN(c)
		return
	}
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) && c.wire != nil && (c.is(serverClosed) || m.head(c).Closing) {
		// The server has closed. If the client retransmits, it has missed
		// an ACK, which the core sends again; if it sends something new, the
		// protection ends, and the kernel answers the next segment.
		return
	}
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) &&
		(m.over(c) || x.liveAt != 0 || c.state == Established && seqnum.Less(c.stableSeq(), m.slotOf(c).Ack())) {
		// Not the end of a socket, but an answer to a segment: one that the
		// reopened socket refused before its handshake was over, or a
		// retransmission because the log is behind. If the kernel has
		// closed the connection meanwhile, the core acknowledges in its place.
		return
	}
	if x.held == nil {
		x.heldAt, x.heldFor = m.now, 0
	}
	m.noticeFIN(c, m.slotOf(c))
	x.held, x.heldLen, x.whole, x.heldLast = clone(s), length, whole, c.is(finSent)
	if c.state == Open || m.heldByClose(c) {
		m.releaseHeld(c) // Close was on its way
		m.touch(c)
		return
	}
	m.watch(c)
	if c.wire != nil {
		m.lagging = true // see socketVanished
	}
}

// missesFIN reports whether a RST answers a client that has acknowledged all of a server's stream
// but the FIN, has closed, and waits for the FIN. The kernel has given up retransmitting
// it. It does so about a hundred seconds after the server has closed, during most of which the gate may
// have held the FIN, because there was no engine.
func (m *Machine) missesFIN(c *Conn, rst *segment.Segment) bool {
	slot := m.slotOf(c)
	return c.state == Established && c.is(finSent) && !c.is(finAcked) && c.is(finLogged) &&
		rst.Seq+slot.Delta() == c.finEnd-1 && seqnum.LEQ(c.stableSeq(), slot.Ack())
}

// finNeverLeft reports the same of a FIN that has not left at all, because there was no engine for as
// long as the kernel retransmitted it. rst has the client-visible sequence number.
func (m *Machine) finNeverLeft(c *Conn, rst *segment.Segment) bool {
	slot := m.slotOf(c)
	return rst.Flags&(segment.RST|segment.ACK) == segment.RST && c.state == Established && c.wire == nil &&
		!c.is(finSent) && c.is(finLogged) && seqnum.LEQ(slot.SndNxt(), rst.Seq+1) && seqnum.LEQ(c.stableSeq(), slot.Ack()) &&
		m.head(c).Output == c.unaOff+int64(seqnum.Diff(rst.Seq, c.una))
}

// sendServerFIN sends the server's FIN in place of the kernel.
func (m *Machine) sendServerFIN(c *Conn) {
	slot := m.slotOf(c)
	s := c.liveAck(slot, c.stableSeq())
	s.Seq, s.Flags, s.Options.NSACK = c.finEnd-1, segment.FIN|segment.ACK, 0
	m.net.ToClient(s)
}

// heldByClose reports whether the held FIN or RST belongs to a Close of the application.
// A RST without ACK, the answer to a stray segment, does not: packets that are still in the tap may
// explain it.
func (m *Machine) heldByClose(c *Conn) bool {
	return m.head(c).Closing && c.extra.held.Flags.Any(segment.FIN|segment.ACK)
}

// noticeFIN reads from the slot whether a meant FIN has left (figures 16, 23). No event
// reports it: nothing depends on it before the client answers.
func (m *Machine) noticeFIN(c *Conn, slot *gate.Slot) {
	if c.is(finSent) {
		return
	}
	if end, ok := slot.FIN(); ok {
		c.meantFIN(end)
	}
}

func (c *Conn) meantFIN(end uint32) {
	c.set(finSent)
	c.finEnd = end
	switch {
	case seqnum.Less(c.una, end):
	case c.is(unaUnknown): // una is only an upper bound, from a slot that counts a FIN that was held
		c.unaOff -= int64(seqnum.Diff(c.una, end-1))
		c.una = end - 1
	default:
		c.set(finAcked)
	}
}

// dropAnswer drops a held RST that is not the end of a socket, because the kernel has one, but
// the answer to some segment: the client does not get it. See also socketVanished.
func (m *Machine) dropAnswer(c *Conn) {
	if x := c.extra; x != nil && x.held != nil && x.held.Flags&(segment.RST|segment.ACK) == segment.RST && m.kernel.Socket(c.Flow) != SocketNone {
		x.held = nil
	}
}

// releaseHeld sends a held FIN or RST that turned out to be meant.
func (m *Machine) releaseHeld(c *Conn) {
	x := c.extra
	s, slot := x.held, m.slotOf(c)
	x.held = nil
	ack := s.Ack
	s.Seq += slot.Delta()
	if m.finNeverLeft(c, s) {
		slot.SetFIN(s.Seq + 1)
		c.meantFIN(s.Seq + 1)
		m.sendServerFIN(c)
		return
	}
	if c.state == Established && slot.Mode() != gate.ModeOpen { // else it may be the kernel's last ACK
		s.Ack = seqnum.Min(ack, c.stableSeq())
	}
	if s.Options.HasTS {
		s.Options.TSVal += slot.TSDelta()
		if seqnum.Less(slot.TSVal(), s.Options.TSVal) { // the core's ACKs must not look older
			slot.SetTS(s.Options.TSVal, s.Options.TSEcr)
		}
	}
	kernel, client := slot.Scales()
	edge := ack + uint32(s.Window)<<kernel
	s.Window = uint16(min((edge-s.Ack)>>client, 65535))
	if s.Flags.Has(segment.RST) {
		m.net.ToClient(s)
		if c.state == Established {
			m.end(c, "reset by the server")
		}
		return
	}
	// To the kernel its FIN has left, and it retransmits it: from now on
	// the gate passes it, and knows the highest ACK number of the client.
	end := s.Seq + x.heldLen
	slot.SetFIN(end)
	if x.whole {
		m.net.ToClient(s)
		slot.SetSndNxt(seqnum.Max(slot.SndNxt(), end))
	}
	if seqnum.Less(slot.Ack(), ack) {
		slot.SetAck(ack, edge)
		if s.Ack != ack {
			c.set(ackPending)
		}
	}
	c.meantFIN(end)
}
