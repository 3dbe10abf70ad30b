package south

import (
	"math"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// limit makes the gate close the window towards the end of the quota, so that a client
// can never send more than the log has room for.
func (m *Machine) limit(c *Conn) {
	edge, near := c.quotaEdge()
	if !near {
		return
	}
	if slot := m.slotOf(c); slot.Flags()&gate.FlagLimit == 0 {
		slot.SetLimit(edge)
		slot.SetFlags(slot.Flags() | gate.FlagLimit)
	}
	// A window is a multiple of its scale's unit: with less than one left, the
	// client can send nothing more.
	if unit := int64(1) << c.server.wscale; c.quotaLeft() < unit && !c.is(fullReported) {
		c.set(fullReported)
		m.Stats.QuotaFull++
		m.report(QuotaFull, c, "the connection's quota is used up: its window stays closed")
	}
}

// quotaEdge returns the right window edge at which the connection's quota ends, and whether it is near
// enough to be a limit: sequence numbers cannot express one that is 2 GiB away or more.
func (c *Conn) quotaEdge() (edge uint32, near bool) {
	if c.svc.Quota <= 0 || c.svc.OnFull != policy.CloseWindow || c.quotaLeft() > 1<<30 {
		return 0, false
	}
	return c.irs + 1 + uint32(c.received+c.quotaLeft()), true
}

// quotaLeft is how much more of the client's stream the connection's quota has
// room for, bytes. The service must have a quota.
func (c *Conn) quotaLeft() int64 { return c.svc.Quota - (c.received - c.start().In) }

// An eighth of the room that all connections share is reserved for connections that have less than
// reserve bytes in the log. So a few uploads that use up the total quota neither stall all
// other connections nor keep out new ones.
const (
	reserve      = 64 << 10
	reservedPart = 8
)

// shared returns how much more of the shared room the connection may take, bytes. It queries the log
// only for connections that have used up their reserve.
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

// logFull applies the OnFull policy to a connection that the log has no room for.
func (m *Machine) logFull(c *Conn, why string) {
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

// closeWindow closes the client's window until the log has room.
func (m *Machine) closeWindow(c *Conn) {
	c.set(limited)
	c.missing = nil // what is missing now is not the tap's fault
	slot := m.slotOf(c)
	slot.SetLimit(c.rcvNxt())
	slot.SetFlags(slot.Flags() | gate.FlagLimit)
	m.watch(c)
}

// reopen lifts the limit of a connection once the log has room again. Not during a spoofed handshake
// of a server with a north side: the SYN has announced where the log ends, and the socket would never
// get bytes that are logged, and acknowledged, after that.
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
	c.unset(limited | logStalled)
	slot := m.slotOf(c)
	slot.SetFlags(slot.Flags() &^ gate.FlagLimit)
	m.limit(c)
	if m.drain(c) {
		m.takeFIN(c)
	}
	if c.state == Closed {
		return
	}
	// The client learns the window from the answer to its own probe, or from this ACK.
	c.set(dupACKDue | ackDue)
	m.touch(c)
}
