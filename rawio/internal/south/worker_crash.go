package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// crashLoopTime is how soon after a recovery a crash counts as one at the same place, ns.
const crashLoopTime = 60e9

// orphanAfter is how long a connection whose process has crashed waits before it
// is opened again, ns: if that was the server's main process, or its only one,
// the supervisor says so, most often within this time, and the whole service recovers.
// If the main process is the one that crashed, no time is needed: see processEnding, which is asked,
// too. Time decides only where the main process lives and will end because this one has, as a
// shell that has run its only server: what it is about to do, nothing tells: neither its state nor a
// pidfd of it before it ends, nor the release program, which knows of the dead task alone. And it has the
// result of processEnding be younger than the news: it is more than endingAge.
const orphanAfter = 25e6

// Crashed takes the gate's news that the process which held a connection of an
// unmodified server has crashed. If others of the server live on, the connection
// is recovered by one of them.
func (m *Machine) Crashed(slot uint32, pid, code int) {
	m.readClock()
	c := m.BySlot(slot)
	if c == nil || c.wire == nil || m.gate.Slot(slot).Released() != gate.ReleasedCrashed {
		return // of a socket before the present one
	}
	switch c.state {
	case Established, Reconnecting, Rolling:
	default:
		return
	}
	m.cfg.Report(Report{Kind: ConnCrashed, Port: c.svc.port, Flow: c.Flow, ID: c.ID, PID: pid, Code: code, Logged: c.received})
	was, open := c.state, c.isOpening()
	if c.svc.ending && was == Established {
		m.release(c)
		return
	}
	m.crashed(c)
	if c.state != Outage {
		return
	}
	if open {
		m.handshakeDone(c)
	}
	c.extra.recoverAt = m.now + orphanAfter
	m.lagging = true
}

// socketVanished reports whether the kernel has answered a client's segment as one of a
// connection that it does not know, although no process has closed it: it was
// with a listener that is gone, and others of the port listen on, or the kernel had
// answered its SYN by a SYN cookie, and had no room for it when the client said more.
// No event reports the end of such a connection.
func (m *Machine) socketVanished(c *Conn) bool {
	x := c.extra
	if !x.held.Flags.Has(segment.RST) || x.held.Flags.Has(segment.ACK) {
		return false
	}
	if m.wasAnswer(c) {
		x.held = nil
		return false
	}
	if c.is(serverClosed) || m.slotOf(c).Released() == gate.ReleasedClosed {
		if m.kernel.Socket(c.Flow) != SocketNone {
			x.held = nil // as below
		}
		return false
	}
	m.lagging = true
	// The kernel tells nobody of a queue that goes with its listener but by the end of the sockets
	// (SKNLGRP_INET_TCP_DESTROY), which says no more than that there is none, as is asked below. The
	// time is for the witnesses of a death of the whole server, as for an orphan.
	if !c.svc.alive || m.now-x.heldAt < orphanAfter {
		return false
	}
	switch {
	case m.slotOf(c).Released() != gate.ReleasedNo:
		return false
	case m.kernel.Socket(c.Flow) != SocketNone:
		x.held = nil // it was an answer to a segment that came before the handshake was over
		return false
	case c.wire == nil:
		return !m.head(c).Accepted
	}
	return true
}

// wasAnswer reports whether the kernel has had a socket since it did not know one: that
// has sent the FIN of the server.
func (m *Machine) wasAnswer(c *Conn) bool {
	_, closed := m.slotOf(c).FIN()
	return closed && !c.extra.heldLast
}

// reopenVanished opens it again, as after a crash of its process.
func (m *Machine) reopenVanished(c *Conn) {
	m.becomeOutage(c)
	m.slotOf(c).SetReleased(gate.ReleasedCrashed) // for an engine that finds it so
	c.extra.recoverAt = m.now
}

// reopenUnaccepted opens a connection again whose new socket has gone with the queue of a listener
// before anybody had accepted it, and reports whether that is so. When a process crashes the
// kernel closes its files from the last one back, so that its listener is there, on a busy
// host for long, after its connections: one of these may be opened again with it.
func (m *Machine) reopenUnaccepted(c *Conn) bool {
	if !c.extra.roll.opened || m.slotOf(c).Released() != gate.ReleasedNo || m.kernel.Socket(c.Flow) != SocketNone {
		return false
	}
	m.becomeOutage(c)
	m.handshakeDone(c)
	c.extra.recoverAt = m.now + orphanAfter
	m.lagging = true
	return true
}

// reopenOrphan opens a connection again whose process has crashed while its
// server lives.
func (m *Machine) reopenOrphan(c *Conn) {
	m.lagging = true
	if m.now < c.extra.recoverAt || !c.svc.alive || c.svc.outage && !c.svc.busy {
		return
	}
	if m.processEnding(c.svc) { // the news of it is on its way: on a busy host that takes longer
		return
	}
	if !m.mayOpen(c.svc) {
		return
	}
	if w := c.wire; w != nil && m.crashLoops(c, w) {
		return
	}
	c.svc.inflight++
	m.reconnect(c)
}

// crashLoops resets a connection whose process has crashed maxCrashes times in a row without new client
// data, each time within crashLoopTime of the last recovery. It reports whether it did.
func (m *Machine) crashLoops(c *Conn, w *wire) bool {
	if w.receivedAtReopen != c.received || m.now-w.reopened >= crashLoopTime {
		w.receivedAtReopen, w.crashes = c.received, 0
	}
	w.reopened = m.now
	if w.crashes++; w.crashes > maxCrashes {
		m.reset(c, fmt.Sprintf("its server process has crashed %d times at the same place", w.crashes))
		return true
	}
	return false
}
