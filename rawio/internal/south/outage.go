package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// minOffer is the least window that the core offers in an outage, bytes.
const minOffer = 64 << 10

// Crash declares that the process that served the ports is gone (figures 17,
// 18): from now on the gate holds everything, the core answers the clients,
// and new SYNs wait. The kernel sockets that the process left are removed,
// except those whose connection the application had closed: they drain.
func (m *Machine) Crash(ports ...uint16) {
	m.readClock()
	for _, port := range ports {
		svc := m.services[port]
		if svc == nil || svc.fenced {
			continue
		}
		if !svc.outage {
			svc.since = m.now
		}
		svc.crashed = m.now
		svc.outage, svc.alive, svc.busy = true, false, false
		svc.queue, svc.inflight = nil, 0
		m.gate.SetService(port, true, svc.Unmodified)
		m.syns.each(port, func(f segment.Flow, e *synEntry) {
			e.refused = 0 // the crash was the cause
			if e.synack != nil {
				e.synack, e.packet = nil, nil
				m.kernel.Destroy(f) // half-open
			}
		})
		m.each(svc, func(c *Conn) {
			c.unset(outsideWindow)
			m.crashed(c)
		})
	}
	m.Flush()
}

func (m *Machine) crashed(c *Conn) {
	c.unset(opening)
	switch c.state {
	case SynReceived:
		// Nothing of it has left. The client will retransmit its SYN; if that
		// comes late, the one that is here serves as well.
		syn := c.extra.syn
		m.forget(c)
		m.kernel.Destroy(c.Flow)
		e := m.syns.make(c.Flow)
		e.syn, e.arrived = syn, m.now
	case Established:
		head, slot := m.head(c), m.slotOf(c)
		if slot.Aborted() { // right before
			m.resetByServer(c)
			return
		}
		if c.wire != nil {
			m.tickIdle(c) // a crash in a pause
		}
		if c.wire != nil && c.closed() && !head.Closing {
			// Both sides have sent everything, but the client may have missed
			// the last ACK.
			slot.SetMode(gate.ModeOutage)
			slot.SetReleased(gate.ReleasedNo) // nothing is to be recovered, see overInOutage
			c.acked = c.stableSeq()
			m.finished(c)
			return
		}
		if head.Closing || c.is(serverClosed) {
			if m.over(c) {
				m.finished(c)
			} else if c.extra != nil && c.extra.held != nil && m.heldByClose(c) {
				m.releaseHeld(c) // Close was on its way
			}
			return
		}
		why, detail, unrecoverable := m.unrecoverable(c)
		if m.lostUnseen(c) {
			why, detail, unrecoverable = reason.Passed, "", true
		}
		m.becomeOutage(c)
		if unrecoverable {
			m.reset(c, why.With(detail))
		}
	case Reconnecting:
		m.becomeOutage(c)
		m.receiveDeferred(c)
	case Rolling:
		m.becomeOutage(c)
	case Outage:
		c.extra.recoverAt = 0 // with the others
	}
}

// takeFromKernel notes what the kernel's socket has sent and advertised to the client last. The gate
// holds everything by now.
func (m *Machine) takeFromKernel(c *Conn) {
	x, slot := c.extra, m.slotOf(c)
	m.lowerUna(c)
	m.noteSndNxt(c)
	x.edge, x.tsval, x.seqSeen = slot.Edge(), slot.TSVal(), c.high
	x.unseen = unseen{probedAt: m.now}
	if slot.Flags()&gate.FlagLimit != 0 {
		x.edge = seqnum.Min(x.edge, slot.Limit())
	}
	x.window = uint32(max(seqnum.Diff(x.edge, c.stableSeq()), minOffer))
	if slot.TakeHeld() || c.is(ackPending|dupACKDue) {
		c.set(ackDue)
	} else {
		c.acked = seqnum.Max(c.acked, seqnum.Min(slot.Ack(), slot.Stable()))
	}
	x.ackedAt = m.now
}

// noteSndNxt sets nxt to the end of what may have left. If the gate has held a FIN, the kernel
// counts it as sent, and so does the slot; the journal says that it was not.
func (m *Machine) noteSndNxt(c *Conn) {
	slot := m.slotOf(c)
	nxt := seqnum.Max(c.nxt, slot.SndNxt())
	if end, ok := slot.FIN(); ok {
		c.meantFIN(end) // the gate's report of it may still be on its way
	}
	if c.is(finSent) {
		c.nxt = seqnum.Min(nxt, c.finEnd)
		return
	}
	if d := m.head(c).Output - c.unaOff; d >= 0 && d < 1<<31 {
		nxt = seqnum.Max(c.nxt, seqnum.Min(nxt, c.una+uint32(d)))
	}
	c.nxt = nxt
}

// receiveDeferred takes the segments that were deferred while the connection was being opened.
func (m *Machine) receiveDeferred(c *Conn) {
	deferred := c.extra.deferred
	c.extra.deferred = nil
	for _, s := range deferred {
		if c.state != Outage {
			return
		}
		m.receiveInOutage(c, s)
	}
}

// receiveInOutage takes a client's segment during the outage: what is new is logged,
// and what a living TCP would answer is answered (RFC 9293 section 3.10.7.4).
// New data is acknowledged with the upcall that calls it stable.
func (m *Machine) receiveInOutage(c *Conn, s *segment.Segment) {
	if c.unsynced() && !m.synchronize(c, s) {
		return
	}
	defer m.reconnectLate(c)
	if x := c.extra; seqnum.LEQ(s.Seq, x.edge) && (x.seqSeen == 0 || seqnum.Less(x.seqSeen, s.Seq)) {
		x.seqSeen = s.Seq
	}
	stable, before := c.stableSeq(), c.rcvNxt()
	b := bounds{
		ack: stable, next: stable, edge: c.extra.edge,
		sent: seqnum.Max(c.nxt, m.slotOf(c).SndNxt()),
	}
	b = m.widenRestored(c, s, b)
	switch m.judge(c, s, b) {
	case resets:
		if c.rstAfterClose(s) {
			m.noteAllAcked(c)
			return
		}
		m.end(c, "reset by the client")
		return
	case ignore:
		return
	case accept:
		m.accepted(c, s, b)
		if s.Len() == 0 || c.rcvNxt() != before {
			return
		}
	default:
		m.Stats.Refused++
		m.updateSndNxtRefused(c, s, m.slotOf(c))
	}
	c.set(ackDue)
	m.touch(c)
}

// rstAfterClose reports whether a RST only says that the client has no such connection any more,
// after both sides have closed: it answers an ACK of the core, so that its sequence number is that
// ACK's number and it has no ACK flag. The client's last ACK, of everything, has not reached the core,
// or was refused here as by the kernel. What the client has sent was acknowledged, and the application
// has yet to read it.
func (c *Conn) rstAfterClose(s *segment.Segment) bool {
	return c.wire == nil && c.is(finSent) && c.is(finLogged) && !s.Flags.Has(segment.ACK) && s.Seq == c.stableSeq()
}

// noteAllAcked notes that the client has all of the server's stream.
func (m *Machine) noteAllAcked(c *Conn) {
	c.unaOff += int64(seqnum.Diff(c.finEnd, c.una))
	c.una = c.finEnd
	c.set(finAcked)
	m.touch(c)
}

// answer sends an ACK in an outage: it acknowledges what is stable, with a window whose right edge
// never retreats.
func (m *Machine) answer(c *Conn) {
	if c.unsynced() {
		m.answerUnsynced(c)
		return
	}
	ack := c.stableSeq()
	if !c.is(ackDue) && !seqnum.Less(c.acked, ack) {
		return
	}
	c.unset(ackDue)
	x := c.extra
	// Rounded up to units of the window's scale: rounding down would make the right edge
	// retreat with each ACK.
	unit := uint32(1) << c.server.wscale
	room := max(seqnum.Diff(seqnum.Max(x.edge, ack+x.window), ack), 0)
	edge := ack + (uint32(room)+unit-1)&^(unit-1)
	if slot := m.slotOf(c); slot.Flags()&gate.FlagLimit != 0 {
		edge = seqnum.Min(edge, slot.Limit())
	}
	s := c.ackSegment(ack, edge)
	x.edge = seqnum.Max(x.edge, ack+uint32(s.Window)<<c.server.wscale)
	s.Options.TSVal, s.Options.TSEcr = x.tsval, c.peerTS
	m.trace(c, ack)
	c.acked, x.ackedAt = seqnum.Max(c.acked, ack), m.now
	m.noteProbe(c)
	m.Stats.ACKs++
	m.net.ToClient(s)
}

// answerSYN answers a SYN for a connection that exists, while the kernel cannot: with the SYN-ACK, if
// the client has not got that, else with a challenge ACK (RFC 5961 section 4).
func (m *Machine) answerSYN(c *Conn, syn *segment.Segment) {
	if c.is(confirmed) || syn.Seq != c.irs {
		if c.state == Outage || c.state == Reconnecting || c.state == Rolling {
			c.set(ackDue)
			m.touch(c)
		}
		return
	}
	if c.state == SynReceived || c.state == Established && !c.is(recovered) {
		return // the log is waited for, or the kernel does it
	}
	m.sendSYNACK(c, syn.Options.TSVal)
}
