package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Tick drives what depends on time: retries of spoofed handshakes, the ACKs
// that keep idle clients connected in an outage, held FINs, expiry. Call it every
// 10 ms while Busy, and a few times a second otherwise.
func (m *Machine) Tick() {
	if still := m.clock.tick(m.kernel.Now()); still > 0 {
		m.noteStall(still)
	}
	m.lagging, m.probed = false, 0
	for _, svc := range m.services {
		svc.room = 0
		if len(svc.queue) > 0 {
			m.pump(svc)
		}
		if !svc.outage && m.now < svc.admitUntil {
			m.lagging = true
			m.admit(svc)
		}
	}
	m.scanSlots()
	for i := len(m.active) - 1; i >= 0; i-- { // unwatch moves the last into the place of the removed one
		if i < len(m.active) {
			m.tick(m.active[i])
		}
	}
	m.tickExposed()
	m.tickBypassed()
	m.Flush()
}

// Busy reports whether ticks are needed every 10 ms: a spoofed handshake is under way, or a reopened
// connection still needs the core's ACKs, for instance.
func (m *Machine) Busy() bool {
	if m.lagging || m.rolling > 0 {
		return true
	}
	for _, svc := range m.services {
		if svc.busy {
			return true
		}
	}
	return false
}

func (m *Machine) tick(c *Conn) {
	if c.is(limited) {
		m.reopen(c)
	}
	if c.probedAt != 0 && m.tickDown(c) {
		return
	}
	if c.missing != nil && m.tickMissing(c) {
		return
	}
	x, keep := c.extra, c.probedAt != 0 || c.missing != nil
	switch c.state {
	case Outage, Reconnecting, Rolling:
		keep = true
		if c.unsynced() {
			m.tickUnsynced(c)
			return
		}
		if c.state == Outage && m.tickHalfOpen(c) {
			return
		}
		m.reconnectLate(c)
		m.tickUnseen(c)
		if c.state == Reconnecting && !c.svc.busy {
			m.lagging = true // it is opened alone: see reconnectLate
		}
		if m.now-x.ackedAt >= m.cfg.KeepAlive && !m.over(c) { // figure 19: periodic ACKs
			c.set(ackDue)
			m.touch(c)
		}
		if c.state == Reconnecting && x.answer != nil {
			m.tickCookie(c)
		}
		if c.state == Reconnecting && x.tries == 0 {
			m.touch(c) // see notBefore
		}
		if c.state == Reconnecting && x.tries > 0 && m.now >= x.retryAt {
			m.retry(c)
		}
		if c.state == Rolling {
			m.tickRoll(c)
		}
		if c.state == Outage && x.recoverAt != 0 {
			m.reopenOrphan(c)
		}
	case Resetting, Lingering, Open:
		keep = x != nil && x.expireAt != 0
		if keep && m.now >= x.expireAt {
			m.forget(c)
			return
		}
		if x != nil && m.repeatLastACK(x) {
			keep = true
		}
	case Established:
		if x != nil && x.held != nil && m.hasCrashed(c) {
			return
		}
		if c.is(opening) {
			if m.tickOpening(c); c.state != Established {
				return
			}
			keep = c.is(opening)
		}
		m.noteFIN(c)
		if !m.over(c) {
			keep = x != nil && m.tickLive(c) || keep
		} else if x != nil && x.held != nil && m.heldTooLong(c) {
			c.set(serverClosed) // the client has got the FIN from an earlier server
			x.held = nil
		}
		if c.state == Established && c.wire != nil && m.tickIdle(c) {
			keep = true
		}
		if c.closed() && c.state == Established {
			keep = true
			m.finished(c)
		}
	}
	if !keep && !c.is(limited) && c.state != Closed {
		m.unwatch(c)
	}
}

// tickLive does what is due for a live connection: a held FIN, and what remains to be done after a
// reconnection. It reports whether it has to be called again.
func (m *Machine) tickLive(c *Conn) bool {
	x := c.extra
	refused := x.refused != nil && m.deliverRefused(c)
	cookie := x.repeatCookie && m.tickCookieRepeats(c)
	if c.state != Established {
		return true
	}
	if x.held != nil {
		if m.socketVanished(c) {
			m.reopenVanished(c)
			return true
		}
		if x.held == nil {
			return true
		}
		if m.heldTooLong(c) {
			c.set(serverClosed)
			m.releaseHeld(c)
			m.touch(c)
			return c.state == Established
		}
		return true
	}
	if x.liveAt == 0 && !refused && !cookie {
		c.extra = nil
		return false
	}
	if c.is(finLogged) && seqnum.Less(m.slotOf(c).Ack(), c.stableSeq()) {
		if m.now-x.retryAt >= finRetry && !c.is(unaUnknown) { // the stack has missed the FIN; the ACK number to send must be known
			x.retryAt = m.now
			m.repeatFIN(c)
		}
		return true
	}
	if slot := m.slotOf(c); c.behind(slot) {
		m.lagging = true
		if seqnum.Less(c.acked, seqnum.Min(c.stableSeq(), slot.Ack())) || c.widened(slot) {
			c.set(dupACKDue)
			m.touch(c)
		}
		return true
	}
	if refused || cookie || m.now-x.liveAt < cutoverTime {
		return true
	}
	c.extra = nil
	return false
}

// heldTooLong counts a tick of a FIN or RST that is held, and reports whether it has been held for so
// long that it is meant. At least two ticks: the engine itself may have stood still for
// some time.
func (m *Machine) heldTooLong(c *Conn) bool {
	x := c.extra
	x.heldFor++
	return c.svc.alive && x.heldFor >= 2 && m.now-x.heldAt >= meantAfter && !m.processEnding(c.svc)
}

// finRetry is how often the client's FIN is repeated to the new stack, ns.
const finRetry = 200e6

// cutoverTime is how long after a reconnection stray segments of the cut-over
// are expected, ns.
const cutoverTime = 1e9

// Sweep ends connections that have been idle for the given time, ns, and
// have no socket in the kernel: client or server went without a
// segment that the tap could see. exists reports whether the kernel has a socket. Sweep returns how
// many connections it has ended.
func (m *Machine) Sweep(idle int64, exists func(segment.Flow) bool) int {
	m.readClock()
	n := 0
	for i := range m.slots {
		c := m.slots[i].conn
		if c == nil || m.now-c.last < idle {
			continue
		}
		switch c.state {
		case SynReceived, Established, Open:
			// A connection that is over waits for the application only. If that has a new socket, whose
			// FIN the gate holds, the socket stays until the application closes it.
			waits := c.closed() && !c.is(adopted) && m.slotOf(c).Mode() != gate.ModeOutage
			if !waits && !exists(c.Flow) {
				m.end(c, "its socket is gone")
				n++
			}
		}
	}
	return n
}
