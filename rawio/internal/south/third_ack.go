package south

import (
	"github.com/ftnet/ftnet/internal/segment"
)

// A spoofed handshake is done when the kernel has the socket, not when it has
// answered the SYN. The kernel does not answer the third ACK, and may drop it:
//
//   - the accept queue is full;
//   - the listener has TCP_DEFER_ACCEPT, and an ACK without data is ignored
//     until the SYN-ACK has been retransmitted for that time;
//   - the SYN-ACK was a SYN cookie: then there is no socket before the third ACK
//     arrives, which must echo the timestamp of the SYN-ACK, because that encodes
//     the options.
//
//	             SYN-ACK
//	Reconnecting ───────► third ACK ──► is there a socket?
//	     ▲                   ▲             │ yes: recovered
//	     │                   └─────────────┤ half-open: the ACK again
//	     └─────────────────────────────────┘ none: all of it again
//
// Meanwhile a connection is in one of three states: Established and opening, because
// the server may send before the core knows of its socket; Reconnecting, if the SYN-ACK was
// a cookie, because no segment of the client may reach the listener first; or Rolling,
// for an unmodified server.

// proven returns what the kernel has of a connection whose third ACK, a segment like ack, has been
// sent. If the socket is half-open it sends another ACK, which passes TCP_DEFER_ACCEPT: that ignores
// only ACKs with the sequence number that it expects next (tcp_check_req), so the number is one
// higher, without data.
func (m *Machine) proven(c *Conn, ack *segment.Segment) SocketState {
	state := m.kernel.Socket(c.Flow)
	if state == SocketHalfOpen {
		ahead := *ack
		ahead.Seq, ahead.Flags, ahead.Payload = ack.Seq+1, segment.ACK, nil
		ahead.Window = max(ahead.Window, 1) // segments below this number could not open a closed one
		m.net.ToServer(&ahead)
		state = m.kernel.Socket(c.Flow)
	}
	return state
}

// tickOpening checks whether the kernel has the socket of a live connection by now. If it
// has none the connection is opened once more.
func (m *Machine) tickOpening(c *Conn) {
	x := c.extra
	slot := m.slotOf(c)
	state := m.proven(c, m.thirdACK(c, x.answer))
	switch {
	case state == SocketOpen, slot.SndNxt() != slot.Base(): // or it was there, and is over
		m.done(c)
	case state == SocketNone && m.now-x.liveAt >= openGrace:
		m.retryHandshake(c)
	case m.now-x.since >= reconnectTimeout:
		m.reset(c, whyNotTaken)
	default:
		m.lagging = true
	}
}

// openGrace is how long the kernel may take to handle a packet of the core, ns.
const openGrace = 5e6

const whyNotTaken = "the restarted server does not take the connection"

// tickCookie does the same for a connection in Reconnecting whose SYN was answered by a SYN cookie.
func (m *Machine) tickCookie(c *Conn) {
	x := c.extra
	switch m.kernel.Socket(c.Flow) {
	case SocketOpen:
		m.live(c, x.answer)
		return
	case SocketNone:
		if m.head(c).Closing { // since the last tick the server has accepted and reset it
			m.resetClientByServer(c)
			return
		}
	}
	if m.now >= x.retryAt {
		x.answer = nil
	}
}

// retryHandshake begins a failed spoofed handshake anew.
func (m *Machine) retryHandshake(c *Conn) {
	since := c.extra.since
	if m.now-since >= reconnectTimeout {
		m.reset(c, whyNotTaken)
		return
	}
	m.becomeOutage(c)
	m.reconnect(c)
	c.extra.since, c.extra.notBefore = since, m.now+lastRetry
	m.lagging = true
}

// isOpening reports whether a spoofed handshake is under way.
func (c *Conn) isOpening() bool {
	return c.state == Reconnecting || c.state == Rolling || c.is(opening)
}

// mayOpen reports whether one more handshake may begin: no more than Config.Window
// are under way at once, nor more than the queue of the listener takes.
func (m *Machine) mayOpen(svc *service) bool {
	if svc.inflight >= m.cfg.Window {
		return false
	}
	if svc.room <= 0 {
		svc.room = m.kernel.Room(svc.port) - svc.inflight
	}
	if svc.room <= 0 {
		m.lagging = true
		return false
	}
	svc.room--
	return true
}

// openRoll checks whether the kernel has the socket of a connection that is to be rolled
// forward. An ACK of the SYN-ACK has been sent; nothing else may be sent before there is a
// socket: the listener answers segments of unknown connections with a RST.
func (m *Machine) openRoll(c *Conn) SocketState {
	r := c.extra.roll
	state := m.proven(c, m.rollAck(c, r.outAcked, r.edgeOut))
	if state == SocketOpen {
		r.opened, r.movedAt = true, m.now
		m.touch(c)
	}
	return state
}

// tickOpenRoll calls openRoll again, and opens the connection once more if there is no socket.
func (m *Machine) tickOpenRoll(c *Conn) {
	r := c.extra.roll
	switch state := m.openRoll(c); {
	case state == SocketOpen:
	case state == SocketNone && m.now-r.movedAt >= openGrace:
		m.retryHandshake(c)
	case m.now-c.extra.since >= reconnectTimeout:
		m.reset(c, whyNotTaken)
	}
}
