package south

import (
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/segment"
)

const (
	// timeWait is how long a translated connection that is over keeps its
	// translation: Linux stays in TIME_WAIT for 60 s, and answers a repeated
	// FIN of the client from there.
	timeWait = 61e9
	// resetLife is how long the core answers the segments of a client that
	// may have missed its RST.
	resetLife = 30e9
	// meantAfter is how long a FIN or RST that nobody announced is held while
	// the process lives on. A crash is known in a few milliseconds; after
	// this time the descriptor was closed behind ftnet's back, and is meant.
	meantAfter = 250e6
)

// Event takes what the gate reports of a segment of the server, before any
// translation, judged at time at (on the clock of Env.Now). length is the
// segment's length in sequence space; packet is the packet from its IP header,
// nil if the gate could not capture it whole.
func (m *Machine) Event(kind gate.EventKind, s *segment.Segment, length uint32, packet []byte, at int64) {
	m.now = m.env.Now()
	if kind == gate.EventRefused {
		m.refuseSYN(s)
		return
	}
	flow := segment.Flow{Client: s.Dst, Server: s.Src}
	svc := m.services[flow.Server.Port()]
	if svc == nil {
		return
	}
	if kind == gate.EventSYNACK {
		m.synAck(svc, flow, s, packet, at)
		return
	}
	c := m.conns.get(flow)
	if c == nil {
		if kind == gate.EventRSTHeld && packet != nil {
			m.refused(svc, flow, packet)
		}
		return
	}
	if c.state == Established {
		m.noticeFIN(c, m.env.Slot(c.slot))
	}
	switch kind {
	case gate.EventRSTSent:
		m.resetByServer(c)
	case gate.EventFINHeld, gate.EventRSTHeld: // figures 17, 18
		m.hold(c, kind, s, length, packet != nil)
	}
}

// refused takes the kernel's answer to a SYN for a port on which nobody listens.
// That is how the news of a crash may begin: the client is not told before its
// next SYN meets the same and the process still lives.
func (m *Machine) refused(svc *service, flow segment.Flow, packet []byte) {
	e := m.syns.make(flow)
	switch {
	case svc.outage:
	case !svc.alive, e.refused != 0 && m.now-e.refused >= meantAfter:
		m.syns.drop(flow)
		m.env.Forward(packet)
	case e.refused == 0:
		e.refused = m.now
	}
}

func (m *Machine) refuseSYN(s *segment.Segment) {
	m.env.Report(Report{
		Kind: SYNRefused, Port: s.Dst.Port(), Flow: segment.Flow{Client: s.Src, Server: s.Dst},
		Reason: "TCP-MD5 and TCP-AO sign sequence numbers and cannot be protected",
	})
}

// resetByServer ends a connection whose client has been sent a RST that the
// application meant.
func (m *Machine) resetByServer(c *Conn) {
	const why = "reset by the server"
	switch c.state {
	case Established:
		if c.is(recovered) && seqnum.Less(m.env.Slot(c.slot).SndNxt(), c.nxt) {
			// The client may have more than the new socket has sent, and then
			// the socket's RST lies below what it expects.
			m.Stats.Closed++
			m.report(ConnClosed, c, why)
			m.dismiss(c, why)
			return
		}
		m.end(c, why)
	case Outage: // the process died right after
		m.end(c, why)
	case Reconnecting:
		m.reset(c, why)
	}
}

// hold keeps a FIN or RST that the gate holds until it is known what it means.
func (m *Machine) hold(c *Conn, kind gate.EventKind, s *segment.Segment, length uint32, whole bool) {
	if c.state != Established && c.state != Open {
		return
	}
	x := c.more()
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) && c.is(finSent) && !c.is(finAcked) &&
		s.Seq+m.env.Slot(c.slot).Delta() == c.finEnd {
		// Such an answer repeats the client's ACK number: the tap has missed
		// that the FIN is acknowledged.
		c.unaOff += int64(seqnum.Diff(c.finEnd, c.una))
		c.una = c.finEnd
		c.set(finAcked)
		m.touch(c)
		return
	}
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) &&
		(m.over(c) || x.liveAt != 0 || c.state == Established && seqnum.Less(c.stableSeq(), m.env.Slot(c.slot).Ack())) {
		// Not the end of a socket, but an answer to a segment: one that the
		// reopened socket did not like before its handshake was over, or one
		// that the client repeats because the log is behind. If the kernel has
		// closed the connection meanwhile, the core acknowledges in its stead.
		return
	}
	if x.held == nil {
		x.heldAt, x.heldFor = m.now, 0
	}
	x.held, x.heldLen, x.whole = clone(s), length, whole
	if c.state == Open || m.closing(c) {
		m.releaseHeld(c) // Close was on its way
		m.touch(c)
		return
	}
	m.watch(c)
}

// closing reports whether what is held belongs to a Close of the application.
// The answer to a stray segment does not: what the tap has on the way may
// explain it.
func (m *Machine) closing(c *Conn) bool {
	return m.env.Head(c.slot).Closing && c.extra.held.Flags.Any(segment.FIN|segment.ACK)
}

// noticeFIN learns from the slot that a meant FIN has left (figures 16, 23). The
// gate does not report it: nothing depends on it before the client answers.
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
	if seqnum.LEQ(end, c.una) {
		c.set(finAcked)
	}
}

// releaseHeld lets a FIN or RST go that turned out to be meant.
func (m *Machine) releaseHeld(c *Conn) {
	x := c.extra
	s, slot := x.held, m.env.Slot(c.slot)
	x.held = nil
	ack := s.Ack
	s.Seq += slot.Delta()
	if c.state == Established {
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
		m.env.ToClient(s)
		if c.state == Established {
			m.end(c, "reset by the server")
		}
		return
	}
	// The kernel believes that its FIN has left, and repeats it: from now on
	// the gate lets it pass, and knows how far the client may acknowledge.
	end := s.Seq + x.heldLen
	slot.SetFIN(end)
	if x.whole {
		m.env.ToClient(s)
		slot.SetSndNxt(seqnum.Max(slot.SndNxt(), end))
	}
	if seqnum.Less(slot.Ack(), ack) {
		slot.SetAck(ack, edge)
		if s.Ack != ack {
			c.set(owed)
		}
	}
	c.meantFIN(end)
}

// over reports whether both sides have closed and know it of each other. What
// the application has not read yet may still have to be recovered.
func (m *Machine) over(c *Conn) bool {
	if !c.closed() {
		return false
	}
	slot := m.env.Slot(c.slot)
	return c.state != Established || slot.Mode() != gate.ModeLive || seqnum.LEQ(c.stableSeq(), slot.Ack())
}

// closed reports whether both FINs are acknowledged as far as the core knows;
// a new kernel socket may still lack some of the client's data.
func (c *Conn) closed() bool { return c.is(finAcked) && c.is(finLogged) }

// letGo reports whether the application has closed the connection.
func (m *Machine) letGo(c *Conn) bool { return c.is(abandoned) || m.env.Head(c.slot).Closing }

// finished removes a connection that is over once the application has closed
// it, and so has read what it wanted.
func (m *Machine) finished(c *Conn) {
	if !m.over(c) || !m.letGo(c) {
		m.watch(c) // neither need make a packet that the core hears of
		return
	}
	if !c.is(recovered) && c.acked != c.stableSeq() {
		m.end(c, "closed") // the kernel's own ACK has left, or its FIN with it
		return
	}
	m.Stats.Closed++
	m.report(ConnClosed, c, "closed")
	_ = m.log.Delete(c.ID) // an unknown connection has nothing to delete
	m.env.Withdraw(c.slot)
	c.state = Lingering
	life := m.cfg.Linger
	switch {
	case m.env.Slot(c.slot).Mode() == gate.ModeOutage:
		m.env.Destroy(c.Flow) // nobody will answer its FIN
	case c.is(recovered):
		life = timeWait
	}
	c.more().expireAt = m.now + life
	m.watch(c)
}

// late answers a client that repeats itself after its connection is over: it
// has missed the last ACK. The kernel believes that it has sent that with its
// FIN, while it had to wait for the log, and may know nothing more.
func (m *Machine) late(c *Conn, s *segment.Segment) {
	if s.Flags.Has(segment.RST) {
		if c.state == Lingering && s.Seq == c.rcvNxt() {
			m.end(c, "closed")
		}
		return
	}
	if s.Len() == 0 {
		return
	}
	slot := m.env.Slot(c.slot)
	a := c.ackSegment(c.stableSeq(), seqnum.Max(c.stableSeq(), slot.Edge()))
	a.Seq = c.finEnd
	a.Options.TSVal, a.Options.TSEcr = slot.TSVal(), s.Options.TSVal
	m.Stats.ACKs++
	m.env.ToClient(a)
}

// end forgets a connection at once.
func (m *Machine) end(c *Conn, why string) {
	if c.state != Lingering && c.state != Resetting {
		m.Stats.Closed++
		m.report(ConnClosed, c, why)
	}
	m.forget(c)
}

// forget frees all that the core and the gate keep of a connection.
func (m *Machine) forget(c *Conn) {
	was := c.state
	c.state = Closed
	m.conns.remove(c.Flow)
	m.unwatch(c)
	c.ahead = nil
	m.env.Slot(c.slot).SetMode(gate.ModeFree)
	if was != SynReceived {
		m.env.Unbind(c.Flow)
	}
	if was != SynReceived && was != Lingering {
		m.env.Withdraw(c.slot)
	}
	if was != Lingering && was != Resetting && c.ID != 0 {
		_ = m.log.Delete(c.ID)
	}
	m.slots[c.slot].conn = nil
	m.free.give(c.slot)
	if was == Reconnecting {
		m.settled(c)
	}
}

// reset ends a connection that cannot be continued: the client gets a RST, and
// another one for whatever it sends, until it has understood.
func (m *Machine) reset(c *Conn, why string) {
	m.Stats.Reset++
	m.report(ConnReset, c, why)
	m.dismiss(c, why)
}

// dismiss sends the client a RST at the end of all that may have reached it.
func (m *Machine) dismiss(c *Conn, why string) {
	was := c.state
	slot := m.env.Slot(c.slot)
	slot.SetMode(gate.ModeOutage)
	if was == Established {
		m.left(c)
	}
	m.env.Destroy(c.Flow)
	_ = m.log.Delete(c.ID)
	c.ahead = nil
	c.state = Resetting
	c.more().expireAt = m.now + resetLife
	c.extra.reason = why
	c.extra.frozen, c.extra.held = nil, nil
	c.unset(limited)
	m.watch(c)
	m.sendReset(c, c.nxt)
	if was == Reconnecting {
		m.settled(c)
	}
}

// sendReset sends a RST at seq. The client obeys it if seq is exactly what it
// expects; else it answers with that number (RFC 5961 section 3.2).
func (m *Machine) sendReset(c *Conn, seq uint32) {
	s := c.ackSegment(c.stableSeq(), c.stableSeq())
	s.Seq, s.Flags, s.Options = seq, segment.RST|segment.ACK, segment.Options{}
	m.env.ToClient(s)
}

func (m *Machine) answerReset(c *Conn, s *segment.Segment) {
	if s.Flags.Has(segment.RST) {
		m.forget(c)
		return
	}
	if s.Flags.Has(segment.ACK) {
		m.sendReset(c, s.Ack)
	}
}

// Abort resets a connection, if it is still known, and says why.
func (m *Machine) Abort(c *Conn, why string) {
	m.now = m.env.Now()
	switch c.state {
	case Established, Outage, Reconnecting:
		m.reset(c, why)
	case Open:
		if c.is(recovered) { // else the kernel can go on without us
			c.nxt = seqnum.Max(c.nxt, m.env.Slot(c.slot).SndNxt())
			m.reset(c, why)
		}
	}
}

// AbortAll resets every connection of a port: its server will not come back.
func (m *Machine) AbortAll(port uint16, why string) {
	m.now = m.env.Now()
	svc := m.services[port]
	if svc == nil {
		return
	}
	svc.queue = nil
	m.each(svc, func(c *Conn) { m.Abort(c, why) })
}

// Release ends the protection of a port whose server has ended as it should:
// what the kernel still has to say, FINs first of all, goes out.
func (m *Machine) Release(port uint16) {
	m.now = m.env.Now()
	svc := m.services[port]
	if svc == nil {
		return
	}
	svc.queue, svc.alive = nil, false
	m.each(svc, func(c *Conn) {
		switch c.state {
		case Established:
			m.open(c, "the server has ended")
		case Outage, Reconnecting:
			m.reset(c, "the server has ended")
		case SynReceived:
			m.forget(c)
		}
	})
	m.Flush()
}
