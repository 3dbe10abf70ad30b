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
	c := m.conns[flow]
	if c == nil {
		return
	}
	switch kind {
	case gate.EventFINSent: // figures 16, 23
		if c.state != Established {
			break
		}
		if end, ok := m.env.Slot(c.slot).FIN(); ok {
			c.meantFIN(end)
		}
		m.touch(c)
	case gate.EventRSTSent:
		m.resetByServer(c)
	case gate.EventFINHeld, gate.EventRSTHeld: // figures 17, 18
		m.hold(c, kind, s, length, packet != nil)
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
		m.remove(c, why)
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
	if kind == gate.EventRSTHeld && !s.Flags.Has(segment.ACK) && x.liveAt != 0 {
		// Not the end of a socket, but the answer to a segment that the
		// reopened one did not like before its handshake was over.
		return
	}
	if x.held == nil {
		x.heldAt, x.heldFor = m.now, 0
	}
	x.held, x.heldLen, x.whole = clone(s), length, whole
	if c.state == Open || m.env.Head(c.slot).Closing {
		m.releaseHeld(c) // Close was on its way
		m.touch(c)
		return
	}
	m.watch(c)
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
	}
	kernel, client := slot.Scales()
	edge := ack + uint32(s.Window)<<kernel
	s.Window = uint16(min((edge-s.Ack)>>client, 65535))
	if s.Flags.Has(segment.RST) {
		m.env.ToClient(s)
		if c.state == Established {
			m.remove(c, "reset by the server")
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

// remove ends the protection of a connection that is over for both sides. A
// translated one stays known to the gate for the kernel's TIME_WAIT.
func (m *Machine) remove(c *Conn, why string) {
	if !c.is(recovered) || c.is(clientRST) || c.state != Established {
		m.end(c, why)
		return
	}
	m.Stats.Closed++
	m.report(ConnClosed, c, why)
	_ = m.log.Delete(c.ID) // an unknown connection has nothing to delete
	c.state = Lingering
	c.more().expireAt = m.now + timeWait
	m.watch(c)
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
	delete(m.conns, c.Flow)
	m.unwatch(c)
	c.ahead = nil
	m.env.Slot(c.slot).SetMode(gate.ModeFree)
	if was != SynReceived {
		m.env.Unbind(c.Flow)
		m.env.Withdraw(c.slot)
	}
	if was != Lingering && was != Resetting && c.ID != 0 {
		_ = m.log.Delete(c.ID)
	}
	m.slots[c.slot].conn = nil
	m.free = append(m.free, c.slot)
	if was == Reconnecting {
		m.settled(c)
	}
}

// reset ends a connection that cannot be continued: the client gets a RST, and
// another one for whatever it sends, until it has understood.
func (m *Machine) reset(c *Conn, why string) {
	was := c.state
	m.Stats.Reset++
	m.report(ConnReset, c, why)
	slot := m.env.Slot(c.slot)
	slot.SetMode(gate.ModeOutage)
	if was == Established {
		c.nxt = seqnum.Max(c.nxt, slot.SndNxt())
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
	svc.queue = nil
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
