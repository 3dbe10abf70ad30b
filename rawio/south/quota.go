package south

import (
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// limit has the gate close the window towards the end of the quota: a client
// can then never send what the log has no room for. Serial numbers can name
// the limit only once it is near.
func (m *Machine) limit(c *Conn) {
	if c.svc.Quota <= 0 || c.svc.OnFull != CloseWindow || c.quotaLeft() > 1<<30 {
		return
	}
	if slot := m.env.Slot(c.slot); slot.Flags()&gate.FlagLimit == 0 {
		slot.SetLimit(c.irs + 1 + uint32(c.received+c.quotaLeft()))
		slot.SetFlags(slot.Flags() | gate.FlagLimit)
	}
	// A window counts in units of its scale: with less than one left the
	// client can send nothing more.
	if unit := int64(1) << c.server.wscale; c.quotaLeft() < unit && !c.is(toldFull) {
		c.set(toldFull)
		m.Stats.QuotaFull++
		m.report(QuotaFull, c, "the connection's quota is used up: its window stays closed")
	}
}

// quotaLeft is how much more of the client's stream the connection's quota has
// room for, bytes. The service must have a quota.
func (c *Conn) quotaLeft() int64 { return c.svc.Quota - (c.received - c.logStart()) }

// full applies the chosen policy to a connection that the log has no room for.
func (m *Machine) full(c *Conn, why string) {
	if c.is(limited) || c.state == Closed {
		return
	}
	m.Stats.QuotaFull++
	m.report(QuotaFull, c, why)
	switch c.svc.OnFull {
	case Unprotect:
		if c.state == Established {
			m.report(ConnUnprotected, c, why)
			m.unprotect(c, why)
			return
		}
		m.reset(c, why)
	case ResetConn:
		m.reset(c, why)
	default:
		m.closeWindow(c)
	}
}

// closeWindow has the client send nothing more until the log has room.
func (m *Machine) closeWindow(c *Conn) {
	c.set(limited)
	slot := m.env.Slot(c.slot)
	slot.SetLimit(c.rcvNxt())
	slot.SetFlags(slot.Flags() | gate.FlagLimit)
	m.watch(c)
}

// reopen lifts the limit of a connection once the log has room again.
func (m *Machine) reopen(c *Conn) {
	enough := int64(256 << 10)
	room, err := m.log.Room(c.ID)
	if c.svc.Quota > 0 {
		room = min(room, c.quotaLeft())
		enough = min(enough, c.svc.Quota/4)
	}
	if err != nil || room < enough {
		return
	}
	c.unset(limited | stuck)
	slot := m.env.Slot(c.slot)
	slot.SetFlags(slot.Flags() &^ gate.FlagLimit)
	m.limit(c)
	if m.drain(c) {
		m.takeFIN(c)
	}
	if c.state == Closed {
		return
	}
	// The client learns of the window by an ACK of its own probe, or by this.
	c.set(dupAck | ackDue)
	m.touch(c)
}

// unprotect opens a connection that goes on without protection.
func (m *Machine) unprotect(c *Conn, why string) {
	if m.open(c, why); c.state == Open {
		m.Stats.Unprotected++
	}
}

// open ends the protection of a live connection without harm to it: the gate
// lets everything pass, translated if need be, and what was held goes out.
func (m *Machine) open(c *Conn, why string) {
	slot := m.env.Slot(c.slot)
	slot.SetFlags(slot.Flags() &^ gate.FlagLimit)
	slot.SetMode(gate.ModeOpen)
	held := slot.TakeHeld() || c.is(owed)
	if x := c.extra; x != nil && x.held != nil {
		if m.releaseHeld(c); c.state != Established {
			return
		}
	}
	if held && seqnum.Less(c.acked, slot.Ack()) {
		m.sendAck(c, slot, slot.Ack())
	}
	if replays := c.wire == nil && c.is(recovered) && c.svc.alive; !replays {
		_ = m.log.Delete(c.ID) // an unknown connection has nothing to delete
		c.ID = 0
	} // else the handler may still be reading from the log
	c.ahead = nil
	open := c.isOpening()
	c.flags &= recovered | finSent
	c.state = Open
	c.more().reason = why
	if !c.is(recovered) {
		// Nothing is left to do but for events that are on their way; the
		// flow's next connection is a new one.
		slot.SetMode(gate.ModeFree)
		m.env.Unbind(c.Flow)
		c.extra.expireAt = m.now + openLife
		m.watch(c)
	}
	if open {
		m.settled(c)
	}
}

// openLife is how long a connection that needs no translation is remembered
// after its protection has ended, ns.
const openLife = 5e9
