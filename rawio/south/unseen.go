package south

// unseen counts, in an outage and a roll-forward, the client's segments that the gate has
// held and the tap has not seen. Only those count that come unasked: what nobody has asked
// for the client repeats, until it is answered. One or more between two looks may tell of
// one repetition.
type unseen struct {
	from  int64  // since this time nobody has asked the client; 0: somebody has
	to    int64  // until this time; 0: still
	base  uint32 // what the gate had held at from
	held  int    // how many it has held from then until to
	seen  int    // of these by the tap, at most
	since int64  // time when there were more held than seen first, still unasked; 0: there were not
	asked int64  // time when somebody has asked the client last
}

// see takes note of a segment that the tap saw at time t. The tap is before the gate, which
// may have counted it after the beginning.
func (u *unseen) see(t int64) {
	if u.from != 0 && t >= u.from-holeQuiet && (u.to == 0 || t <= u.to) {
		u.seen++
	}
}

// ask takes note that the client is asked, when the gate has held n.
func (u *unseen) ask(n uint32, now int64) {
	u.asked = now
	if u.from != 0 && u.to == 0 {
		u.to, u.held = now, int(n-u.base)
	}
}

// look reports whether the gate, which has held n, has held what the tap has not seen,
// although it has had the time.
func (u *unseen) look(n uint32, now int64) bool {
	switch {
	case u.from == 0:
		if now-u.asked > askedQuiet {
			u.begin(n, now)
		}
	case u.to != 0:
		if now-u.to > holeQuiet {
			vain := u.held > u.seen
			*u = unseen{asked: u.asked}
			return vain
		}
	case int(n-u.base) <= u.seen:
		u.begin(n, now)
	case u.since == 0:
		u.since = now
	case now-u.since > holeQuiet:
		u.begin(n, now)
		return true
	}
	return false
}

// begin has the counting begin, when the gate has held n.
func (u *unseen) begin(n uint32, now int64) {
	*u = unseen{from: now, base: n, asked: u.asked}
}

// asks takes note that what leaves asks the client of a connection that is not live.
func (m *Machine) asks(c *Conn) {
	c.extra.unseen.ask(m.slotOf(c).StolenIn(), m.now)
}

// tickUnseen has what the tap does not see in an outage or a roll-forward count as what the kernel of a live
// connection answers.
func (m *Machine) tickUnseen(c *Conn) {
	if c.extra.unseen.look(m.slotOf(c).StolenIn(), m.now) {
		if next := c.rcvNxt(); c.hole == nil || c.hole.next != next {
			c.hole = m.newHole(c, said{})
		} else {
			c.hole.count(m.now) // the first time tells what lacks, as a live connection's slot does
		}
		c.hole.found = m.now
	}
	if c.hole != nil {
		c.hole.lasted += m.awake
	}
}
