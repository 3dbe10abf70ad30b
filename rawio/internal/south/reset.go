package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// resetByServer ends a connection whose client has been sent a RST that the
// application meant.
func (m *Machine) resetByServer(c *Conn) {
	const why = whyByServer
	switch c.state {
	case Established:
		if c.is(recovered) && seqnum.Less(m.slotOf(c).SndNxt(), c.nxt) {
			// The client may have more than the new socket has sent, and then
			// the socket's RST lies below what it expects.
			m.resetClientByServer(c)
			return
		}
		m.end(c, why)
	case Outage: // the process died right after
		m.end(c, why)
	case Reconnecting, Rolling:
		m.resetClientByServer(c)
	}
}

const whyByServer = "reset by the server"

// resetClientByServer resets a connection whose application has reset it.
func (m *Machine) resetClientByServer(c *Conn) {
	m.Stats.Closed++
	m.report(ConnClosed, c, whyByServer)
	m.resetClient(c, whyByServer)
}

// reset ends a connection that cannot be continued: the client gets a RST, and
// another one for each segment that it still sends.
func (m *Machine) reset(c *Conn, why string) {
	m.Stats.Reset++
	m.report(ConnReset, c, why)
	m.resetClient(c, why)
}

// resetClient sends the client a RST whose number follows everything that may have reached it.
func (m *Machine) resetClient(c *Conn, why string) {
	open := c.isOpening()
	if !m.becomeResetting(c, why) {
		return
	}
	if !c.unsynced() { // else it gets one when it sends a segment
		m.sendReset(c, c.nxt)
	}
	if open {
		m.handshakeDone(c)
	}
}

// sendReset sends a RST at seq. The client accepts it if seq is exactly its RCV.NXT;
// else it answers with that number in a challenge ACK (RFC 5961 section 3.2).
func (m *Machine) sendReset(c *Conn, seq uint32) {
	s := c.ackSegment(c.stableSeq(), c.stableSeq())
	s.Seq, s.Flags, s.Options = seq, segment.RST|segment.ACK, segment.Options{}
	m.net.ToClient(s)
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

// Abort resets a connection, unless it is over, and reports why.
func (m *Machine) Abort(c *Conn, why string) {
	m.readClock()
	switch c.state {
	case Established, Outage, Reconnecting, Rolling:
		m.reset(c, why)
	case Open:
		if c.is(recovered) { // else the kernel can go on alone
			c.nxt = seqnum.Max(c.nxt, m.slotOf(c).SndNxt())
			m.reset(c, why)
		}
	}
}

// AbortAll resets every connection of a port: its server will not come back.
func (m *Machine) AbortAll(port uint16, why string) {
	m.readClock()
	svc := m.services[port]
	if svc == nil {
		return
	}
	svc.queue = nil
	m.each(svc, func(c *Conn) { m.Abort(c, why) })
}
