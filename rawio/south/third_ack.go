package south

import (
	"github.com/ftnet/ftnet/internal/segment"
)

// A spoofed handshake is done when the kernel has the socket, and not when it has
// answered the SYN. Of the third ACK it says nothing, and it may well drop it:
//
//   - the queue of connections that wait for Accept is full;
//   - the listener has TCP_DEFER_ACCEPT, and an ACK without data counts for nothing
//     until the SYN-ACK has been repeated for that time;
//   - the SYN-ACK was a SYN cookie: then nothing is there before the third ACK
//     is, and what that must repeat are the timestamps of the SYN-ACK, for they hold
//     the options.
//
//	             SYN-ACK
//	Reconnecting ───────► third ACK ──► is there a socket?
//	     ▲                   ▲             │ yes: recovered
//	     │                   └─────────────┤ half-open: the ACK again
//	     └─────────────────────────────────┘ none: all of it again
//
// A connection is in one of three states meanwhile: Established and opening, because
// the server may speak before it is known that it can; Reconnecting, if the SYN-ACK was
// a cookie, because what the client says must not reach the listener first; and Rolling,
// for an unmodified server.

// proven reports whether the kernel has the socket of a connection whose third ACK,
// a segment like ack, has been sent. One that has TCP_DEFER_ACCEPT in its way is sent
// at once: the kernel waits for anything but an ACK of the number that it expects next
// (tcp_check_req), and one that lies a number ahead, without data, tells the same.
func (m *Machine) proven(c *Conn, ack *segment.Segment) SocketState {
	state := m.kernel.Socket(c.Flow)
	if state == SocketHalfOpen {
		ahead := *ack
		ahead.Seq, ahead.Flags, ahead.Payload = ack.Seq+1, segment.ACK, nil
		ahead.Window = max(ahead.Window, 1) // a closed one could not be opened by what lies before
		m.net.ToServer(&ahead)
		state = m.kernel.Socket(c.Flow)
	}
	return state
}

// tickOpening looks whether the kernel has the socket of a live connection by now. If it
// has none the connection is opened once more.
func (m *Machine) tickOpening(c *Conn) {
	x := c.extra
	slot := m.slotOf(c)
	state := m.proven(c, m.thirdACK(c, x.answer))
	switch {
	case state == SocketOpen, slot.SndNxt() != slot.Base(): // or it was there, and is over
		m.done(c)
	case state == SocketNone && m.now-x.liveAt >= openGrace:
		m.again(c)
	case m.now-x.since >= giveUp:
		m.reset(c, whyNotTaken)
	default:
		m.lagging = true
	}
}

// openGrace is how long the kernel may take to handle a packet of the core, ns.
const openGrace = 5e6

const whyNotTaken = "the restarted server does not take the connection"

// tickCookie does the same for one whose SYN was answered by a SYN cookie.
func (m *Machine) tickCookie(c *Conn) {
	x := c.extra
	switch m.kernel.Socket(c.Flow) {
	case SocketOpen:
		m.live(c, x.answer)
		return
	case SocketNone:
		if m.head(c).Closing { // between two looks the server has had it, and has reset it
			m.dismissByServer(c)
			return
		}
	}
	if m.now >= x.retryAt {
		x.answer = nil
	}
}

// again begins a spoofed handshake anew that came to nothing.
func (m *Machine) again(c *Conn) {
	since := c.extra.since
	if m.now-since >= giveUp {
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

// openRoll looks whether the kernel has the socket of a connection that is to be rolled
// forward. An ACK of the SYN-ACK has been sent; nothing else is, before there is a
// socket: to what it does not know the listener answers with a RST.
func (m *Machine) openRoll(c *Conn) SocketState {
	r := c.extra.roll
	state := m.proven(c, m.rollAck(c, r.outAcked, r.edgeOut))
	if state == SocketOpen {
		r.opened, r.movedAt = true, m.now
		m.touch(c)
	}
	return state
}

// tickOpenRoll repeats that.
func (m *Machine) tickOpenRoll(c *Conn) {
	r := c.extra.roll
	switch state := m.openRoll(c); {
	case state == SocketOpen:
	case state == SocketNone && m.now-r.movedAt >= openGrace:
		m.again(c)
	case m.now-c.extra.since >= giveUp:
		m.reset(c, whyNotTaken)
	}
}
