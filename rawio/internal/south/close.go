package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
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
	// this time the descriptor was closed behind ftnet's back, and is meant. But
	// on a busy host the news of a crash may take longer: see processEnding. That answer alone does
	// not replace the time: it is of the processes that are known, and the one that has
	// closed the descriptor need not be among them, as where a shell has started an
	// unmodified server, or a server has handed the descriptor to a child of its own. Nor does a
	// pidfd, for the same reason; and that the kernel tells the end of each socket
	// (SKNLGRP_INET_TCP_DESTROY) says nothing of its cause, and comes after the last ACK of a FIN. What
	// has the evidence is the gate's release program, in the task that lets go of the file: it notes
	// it for unmodified servers, whose FINs are held only where it has not seen the release. For
	// others it would have to be on all hosts, and there it may be refused (gate.ErrNotSupported).
	meantAfter = 250e6
	// endingAge is how old a result of Kernel.Ending may be, ns.
	endingAge = 10e6
)

// processEnding reports whether a process of the service is ending. A FIN or RST that the kernel sends
// then is not meant. Descriptors that the end of a process closes are closed after that end has
// begun, so a result that is newer than a FIN is valid for that FIN.
func (m *Machine) processEnding(svc *service) bool {
	if m.now-svc.endingAt >= endingAge {
		svc.endingAt, svc.processEnding = m.now, m.kernel.Ending(svc.port)
	}
	return svc.processEnding
}

// over reports whether both sides have closed, and both FINs are acknowledged for the kernel, too. The
// application may still have to be recovered, to read the rest.
func (m *Machine) over(c *Conn) bool {
	if !c.closed() {
		return false
	}
	slot := m.slotOf(c)
	return c.state != Established || slot.Mode() != gate.ModeLive || seqnum.LEQ(c.stableSeq(), slot.Ack())
}

// closed reports whether both FINs are acknowledged as far as the core knows;
// a new kernel socket may still lack some of the client's data.
func (c *Conn) closed() bool { return c.is(finAcked) && c.is(finLogged) }

// applicationClosed reports whether the application has closed the connection. For an unmodified
// server it reports true: the release of a socket whose connection was over before is not reported.
func (m *Machine) applicationClosed(c *Conn) bool {
	return c.is(serverClosed) || c.wire != nil || m.head(c).Closing
}

// finished lets a connection linger that is over once the application has closed
// it, and so will read no more.
func (m *Machine) finished(c *Conn) {
	over := m.over(c)
	if !over || !m.applicationClosed(c) {
		if over && c.is(recovered) {
			// For the new socket the stream is not over yet, and the
			// client may be gone: nothing must pass between them. The application
			// may still have something to read.
			m.slotOf(c).SetMode(gate.ModeOutage)
		}
		m.watch(c) // neither condition need become true with a packet that the core sees
		return
	}
	m.noteRelease(c, m.slotOf(c))
	if c.is(opening) { // nobody else could have closed it
		m.done(c)
	}
	// Even if the kernel's own last ACK has left: the FIN, which the client has acknowledged, may have
	// left before that, with a lower ACK number.
	m.linger(c)
}

// linger ends a connection that is over, and answers its client for a while, which may have missed the
// last ACK.
func (m *Machine) linger(c *Conn) {
	m.Stats.Closed++
	m.report(ConnClosed, c, "closed")
	_ = m.log.Delete(c.ID) // an unknown connection has nothing to delete
	m.withdraw(c)
	m.becomeLingering(c)
}

// lingerTime returns for how long a connection that is over is remembered, ns: its client
// may have missed the last ACK, and retransmits after a time-out.
func (m *Machine) lingerTime(c *Conn) int64 {
	life := max(m.cfg.Linger, c.clientRTO())
	if c.is(recovered) && m.slotOf(c).Mode() != gate.ModeOutage {
		life = max(life, timeWait)
	}
	return life
}

// noteRelease notes that an unmodified server has closed the connection. From
// then on the kernel may answer segments with RSTs because it has no socket any more; the gate must
// hold those, and the core decides.
func (m *Machine) noteRelease(c *Conn, slot *gate.Slot) {
	if c.wire != nil && slot.Released() == gate.ReleasedClosed {
		c.set(serverClosed)
		slot.NoteRelease()
	}
}

// mayEndProtection reports whether this segment of the client ends the protection of an unmodified
// server's connection: the server has closed the socket, and the kernel can finish alone.
func (m *Machine) mayEndProtection(c *Conn, s *segment.Segment, slot *gate.Slot) bool {
	if c.wire == nil {
		return false
	}
	if slot.Released() == gate.ReleasedClosed && !c.is(recovered) && c.fin < 0 && c.early < 0 && c.clientRTO() < timeWait &&
		seqnum.LEQ(s.Seq, c.rcvNxt()) && seqnum.LEQ(slot.Ack(), seqnum.Max(c.rcvNxt(), s.End())) {
		// If the server has closed first, its socket stays until the client has
		// closed too, then in TIME_WAIT, and answers the client's retransmissions.
		end, closed := slot.FIN()
		if has := closed && s.Ack == end; has || !s.Flags.Has(segment.FIN) && !m.remains(c, s) {
			return true
		}
	}
	m.noteRelease(c, slot)
	return c.is(serverClosed) && len(s.Payload) > 0 && seqnum.Less(slot.Ack(), s.Seq+uint32(len(s.Payload))) && !m.remains(c, s)
}

// remains reports whether a connection that its process has closed stays in a
// log that outlives the host: the client may lack output that the kernel still has. Data
// that the client retransmits and the kernel does not accept will not be read. But
// after a recovery the core may have more than the kernel; and the kernel may have
// just received the rest, before the server closed, without having acknowledged it. Data that it
// refuses ends the socket (RFC 1122, section 4.2.2.13).
func (m *Machine) remains(c *Conn, s *segment.Segment) bool {
	return m.cfg.Lasting && (len(s.Payload) == 0 || !seqnum.Less(s.Seq, c.rcvNxt()) || seqnum.LEQ(s.End(), m.slotOf(c).Ack()) ||
		m.kernel.Socket(c.Flow) == SocketOpen)
}

// endProtection ends the protection of an unmodified server's connection whose process has closed
// it, and whose client sends more, which nobody will read: the kernel sends the rest alone.
// As long as the client sends nothing new, the connection stays: to the kernel the ACKs that
// waited for the log were sent, and it may have no socket any more when the client retransmits.
func (m *Machine) endProtection(c *Conn) {
	if c.is(recovered) {
		m.open(c, "closed by the server") // the gate goes on translating
		return
	}
	if slot := m.slotOf(c); (slot.TakeHeld() || c.is(ackPending)) && seqnum.Less(c.acked, slot.Ack()) {
		m.sendAck(c, slot, slot.Ack())
	}
	m.end(c, "closed")
}

// answerAfterEnd answers a client that retransmits after its connection is over: it
// has missed the last ACK. To the kernel that was sent with its
// FIN, while it had to wait for the log, and it may have no socket any more.
func (m *Machine) answerAfterEnd(c *Conn, s *segment.Segment) {
	if s.Flags.Has(segment.RST) {
		if c.state == Lingering && s.Seq == c.rcvNxt() {
			m.end(c, "closed")
		}
		return
	}
	if s.Len() == 0 {
		return
	}
	if c.state == Lingering { // as TIME_WAIT does
		c.extra.expireAt = max(c.extra.expireAt, m.now+m.lingerTime(c))
	}
	slot := m.slotOf(c)
	a := c.ackSegment(c.stableSeq(), seqnum.Max(c.stableSeq(), slot.Edge()))
	a.Seq = c.finEnd
	a.Options.TSVal, a.Options.TSEcr = slot.TSVal(), s.Options.TSVal
	m.Stats.ACKs++
	m.net.ToClient(a)
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
	if c.state == Established || c.state == Outage {
		m.handshakeComplete(c)
	}
	open := c.isOpening()
	if !m.becomeClosed(c) {
		return
	}
	if open {
		m.handshakeDone(c)
	}
}

// Release ends the protection of a port whose server has ended as intended:
// the kernel's remaining segments leave, FINs above all.
func (m *Machine) Release(port uint16) {
	m.readClock()
	svc := m.services[port]
	if svc == nil || svc.fenced {
		return
	}
	svc.queue, svc.alive, svc.ending = nil, false, true
	m.each(svc, func(c *Conn) {
		switch c.state {
		case Established:
			m.release(c)
		case Outage, Reconnecting, Rolling:
			m.reset(c, string(reason.ServerEnded))
		case SynReceived:
			m.forget(c)
		}
	})
	m.Flush()
}
