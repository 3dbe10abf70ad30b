package south

import (
	"math"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/gate"
)

// limit has the gate close the window towards the end of the quota: a client
// can then never send what the log has no room for.
func (m *Machine) limit(c *Conn) {
	edge, near := c.quotaEdge()
	if !near {
		return
	}
	if slot := m.slotOf(c); slot.Flags()&gate.FlagLimit == 0 {
		slot.SetLimit(edge)
		slot.SetFlags(slot.Flags() | gate.FlagLimit)
	}
	// A window counts in units of its scale: with less than one left the
	// client can send nothing more.
	if unit := int64(1) << c.server.wscale; c.quotaLeft() < unit && !c.is(fullReported) {
		c.set(fullReported)
		m.Stats.QuotaFull++
		m.report(QuotaFull, c, "the connection's quota is used up: its window stays closed")
	}
}

// quotaEdge returns the right window edge at which the connection's quota ends, and whether the
// window is to be closed towards it: serial numbers can name it only once it is near.
func (c *Conn) quotaEdge() (edge uint32, near bool) {
	if c.svc.Quota <= 0 || c.svc.OnFull != policy.CloseWindow || c.quotaLeft() > 1<<30 {
		return 0, false
	}
	return c.irs + 1 + uint32(c.received+c.quotaLeft()), true
}

// quotaLeft is how much more of the client's stream the connection's quota has
// room for, bytes. The service must have a quota.
func (c *Conn) quotaLeft() int64 { return c.svc.Quota - (c.received - c.start().In) }

// Of the room that all connections share a part is kept for those that have little
// in the log: an eighth, and of it each connection may have reserve bytes. So a few
// uploads that use up the total quota do not stall everybody else, nor keep new
// connections out.
const (
	reserve      = 64 << 10
	reservedPart = 8
)

// shared is how much more the connection may take of what all have in common,
// bytes. It asks the log only for those that are beyond their reserve.
func (m *Machine) shared(c *Conn) int64 {
	own := reserve - (c.received - c.start().In)
	if own > 0 {
		return own
	}
	used, limit := m.log.Usage()
	if limit <= 0 {
		return math.MaxInt64 // it has no limit, or has not told it yet
	}
	return max(0, limit-limit/reservedPart-used)
}

// full applies the chosen policy to a connection that the log has no room for.
func (m *Machine) full(c *Conn, why string) {
	if c.is(limited) || c.state == Closed {
		return
	}
	m.Stats.QuotaFull++
	m.report(QuotaFull, c, why)
	switch c.svc.OnFull {
	case policy.Unprotect:
		if c.state == Established {
			m.unprotect(c, reason.LogFull, why)
			return
		}
		m.reset(c, why)
	case policy.ResetConn:
		m.reset(c, why)
	default:
		m.closeWindow(c)
	}
}

// closeWindow has the client send nothing more until the log has room.
func (m *Machine) closeWindow(c *Conn) {
	c.set(limited)
	c.hole = nil // the tap has seen what lacks
	slot := m.slotOf(c)
	slot.SetLimit(c.rcvNxt())
	slot.SetFlags(slot.Flags() | gate.FlagLimit)
	m.watch(c)
}

// reopen lifts the limit of a connection once the log has room again. A socket that is
// under way has been told where the log ends: what was logged now, and acknowledged, it
// would never get.
func (m *Machine) reopen(c *Conn) {
	if c.state == Reconnecting && c.wire == nil {
		return
	}
	enough := int64(256 << 10)
	room, err := m.log.Room(c.ID)
	if c.received-c.start().In >= reserve {
		room = min(room, m.shared(c))
	} else {
		enough = reserve / 4
	}
	if c.svc.Quota > 0 {
		room = min(room, c.quotaLeft())
		enough = min(enough, c.svc.Quota/4)
	}
	if err != nil || room < enough {
		return
	}
	c.unset(limited | stuck)
	slot := m.slotOf(c)
	slot.SetFlags(slot.Flags() &^ gate.FlagLimit)
	m.limit(c)
	if m.drain(c) {
		m.takeFIN(c)
	}
	if c.state == Closed {
		return
	}
	// The client learns of the window by an ACK of its own probe, or by this.
	c.set(dupACKDue | ackDue)
	m.touch(c)
}
