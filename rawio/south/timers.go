package south

import "github.com/ftnet/ftnet/rawio/segment"

// Tick drives what depends on time: retries of spoofed handshakes, the ACKs
// that keep idle clients alive in an outage, held FINs, expiry. Call it every
// 10 ms while Busy, and a few times a second otherwise.
func (m *Machine) Tick() {
	m.now = m.env.Now()
	for c := range m.active {
		m.tick(c)
	}
	m.Flush()
}

// Busy reports whether a spoofed handshake is under way.
func (m *Machine) Busy() bool {
	for _, svc := range m.services {
		if svc.busy {
			return true
		}
	}
	return false
}

func (m *Machine) tick(c *Conn) {
	x := c.extra
	keep := false
	if c.is(limited) {
		keep = true
		m.reopen(c)
	}
	switch c.state {
	case Outage:
		keep = true
		if m.now-x.ackedAt >= m.cfg.KeepAlive { // figure 19: periodic ACKs
			c.set(ackDue)
			m.touch(c)
		}
	case Reconnecting:
		keep = true
		if x.tries > 0 && m.now >= x.retryAt {
			m.spoof(c)
		}
	case Resetting, Lingering:
		if keep = m.now < x.expireAt; !keep {
			m.forget(c)
		}
	case Established:
		if x != nil && x.held != nil {
			if keep = !c.svc.alive || m.now-x.heldAt < meantAfter; !keep {
				m.releaseHeld(c)
				m.touch(c)
			}
		}
	}
	if !keep && !c.is(limited) {
		delete(m.active, c)
	}
}

// Sweep forgets connections that have been idle for the given time, in ns, and
// that the kernel knows no socket for: their client or server went without a
// word that the tap could hear. exists tells what the kernel knows.
func (m *Machine) Sweep(idle int64, exists func(segment.Flow) bool) int {
	m.now = m.env.Now()
	n := 0
	for _, c := range m.conns {
		if (c.state == Established || c.state == Open) && m.now-c.last >= idle && !exists(c.Flow) {
			m.end(c, "its socket is gone")
			n++
		}
	}
	return n
}
