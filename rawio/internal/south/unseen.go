package south

// unseen counts, in an outage and a roll-forward, the client's segments that the gate has
// held and the tap has not seen. Only segments that no segment of the core has asked for count: the
// client retransmits those until it is answered. Several between two looks may belong to one
// retransmission.
type unseen struct {
	from     int64  // begin of the count; since then the client was not probed. 0: it was, there is no count
	to       int64  // end of the count: the client was probed; 0: it goes on
	base     uint32 // segments that the gate had held at from
	held     int    // segments that it has held from then until to
	seen     int    // upper bound of those that the tap has seen
	since    int64  // time since when more are held than seen; 0: there are not
	probedAt int64  // time of the last probe
}

// noteSeen counts a segment that the tap saw at time t. The tap is before the gate, so that the
// gate may have counted it after from although the tap saw it before.
func (u *unseen) noteSeen(t int64) {
	if u.from != 0 && t >= u.from-tapDelay && (u.to == 0 || t <= u.to) {
		u.seen++
	}
}

// probed ends the count because the client is probed, when the gate has held n.
func (u *unseen) probed(n uint32, now int64) {
	u.probedAt = now
	if u.from != 0 && u.to == 0 {
		u.to, u.held = now, int(n-u.base)
	}
}

// look reports whether the gate, which has held n segments, has held one that the tap has not seen
// although it has had the time to.
func (u *unseen) look(n uint32, now int64) bool {
	switch {
	case u.from == 0:
		if now-u.probedAt > replyTime {
			u.begin(n, now)
		}
	case u.to != 0:
		if now-u.to > tapDelay {
			missed := u.held > u.seen
			*u = unseen{probedAt: u.probedAt}
			return missed
		}
	case int(n-u.base) <= u.seen:
		u.begin(n, now)
	case u.since == 0:
		u.since = now
	case now-u.since > tapDelay:
		u.begin(n, now)
		return true
	}
	return false
}

// begin begins the count when the gate has held n.
func (u *unseen) begin(n uint32, now int64) {
	*u = unseen{from: now, base: n, probedAt: u.probedAt}
}

// noteProbe notes that a segment leaves which the client of a connection that is not live answers.
func (m *Machine) noteProbe(c *Conn) {
	c.extra.unseen.probed(m.slotOf(c).HeldIn(), m.now)
}

// tickUnseen counts a segment that the tap does not see in an outage or a roll-forward like an answer
// of the kernel on a live connection.
func (m *Machine) tickUnseen(c *Conn) {
	if c.extra.unseen.look(m.slotOf(c).HeldIn(), m.now) {
		if next := c.rcvNxt(); c.missing == nil || c.missing.next != next {
			c.missing = m.newMissing(c, ackRecord{})
		} else {
			c.missing.countAnswer(m.now) // the first time only shows what is missing, as a live connection's slot does
		}
		c.missing.found = m.now
	}
	if c.missing != nil {
		c.missing.lasted += m.awake
	}
}
