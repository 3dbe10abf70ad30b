package south

import (
	"github.com/ftnet/ftnet/internal/reason"
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
			m.unprotect(c, reason.LogFull, why)
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
	c.hole = nil // the tap has seen what lacks
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
