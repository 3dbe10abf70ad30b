package south

// unseen counts, in an outage, the client's segments that the gate has held and the tap has
// not seen. Only those count that come unasked: what nobody has asked for the client repeats,
// until it is answered. One or more between two looks may tell of one repetition.
type unseen struct {
	from  int64  // since this time nobody has asked the client; 0: somebody has
	to    int64  // until this time; 0: still
	base  uint32 // what the gate had held at from
	held  int    // how many it has held from then until to
	seen  int    // of these by the tap, at most
	since int64  // time when there were more held than seen first, still unasked; 0: there were not
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
	if u.from != 0 && u.to == 0 {
		u.to, u.held = now, int(n-u.base)
	}
}

// look reports whether the gate, which has held n, has held what the tap has not seen,
// although it has had the time. asked is when the client was asked last.
func (u *unseen) look(n uint32, now, asked int64) bool {
	switch {
	case u.from == 0:
		if now-asked > askedQuiet {
			*u = unseen{from: now, base: n}
		}
	case u.to != 0:
		if now-u.to > holeQuiet {
			vain := u.held > u.seen
			*u = unseen{}
			return vain
		}
	case int(n-u.base) <= u.seen:
		*u = unseen{from: now, base: n}
	case u.since == 0:
		u.since = now
	case now-u.since > holeQuiet:
		*u = unseen{from: now, base: n}
		return true
	}
	return false
}

// tickUnseen has what the tap does not see in an outage count as what the kernel of a live
// connection answers.
func (m *Machine) tickUnseen(c *Conn) {
	x := c.extra
	if x.unseen.look(m.env.Slot(c.slot).StolenIn(), m.now, x.ackedAt) {
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
