package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/gate"
)

// What makes a connection impossible to recover, or ends it, an event of the gate tells the
// core, or nobody does. An event can be lost: the ring that carries them has no room while very
// many connections begin or end at once. Most of them come again. What the others tell is in
// the slot as well, so the core looks there: now and then at each slot, at a crash, and before
// a FIN that the gate has held is let go.
//
//	event          when it is lost
//	SYN-ACK held   The kernel says it again, or answers the next SYN of the client or the core.
//	SYN cookie     The same. One that belongs to no connection passes, and the engine finds the
//	               connection in the kernel's list; see Declare.
//	FIN held       The kernel says it again.
//	RST held       The kernel answers the client's next segment by another one. It is as if the
//	               network had lost the first; meanwhile the connection would be recovered.
//	RST sent       see Slot.Aborted
//	SYN refused    The client says it again.
//	crashed        see Slot.Released
//	unfollowed     see Slot.WhyOpened; a fragment that was held comes again.
//	proof          The engine asks again.
//
// That a server's record is incomplete only its head in the journal tells.

// look finds out whether a connection that is protected can still be recovered, or is over. It
// stays protected when both sides have closed it: nothing must pass between them any more.
func (m *Machine) look(c *Conn) {
	if c.state == Established && m.slotOf(c).Aborted() {
		m.resetByServer(c)
		return
	}
	if m.hasCrashed(c) || c.closed() {
		return
	}
	if why, detail, spoilt := m.spoilt(c); spoilt {
		m.giveUp(c, why, detail)
	}
}

// giveUp ends the protection of a connection that cannot be recovered, or the connection
// itself if that would be needed.
func (m *Machine) giveUp(c *Conn, why reason.Reason, detail string) {
	switch c.state {
	case Established:
		m.unprotect(c, why, detail)
	case Outage, Reconnecting, Rolling:
		m.reset(c, why.With(detail))
	}
}

// spoilt says why a connection cannot be recovered, if the slot or the server's record tells.
func (m *Machine) spoilt(c *Conn) (why reason.Reason, detail string, spoilt bool) {
	if opened := m.slotOf(c).WhyOpened(); opened != gate.OpenedNo {
		why, detail = openedBy(opened)
		return why, detail, true
	}
	head := m.head(c)
	return reason.NoRecord, "", c.state == Established && head.Lost && !head.Closing
}

// openedBy is the reason of a connection whose packets the gate has let go.
func openedBy(o gate.Opened) (why reason.Reason, detail string) {
	switch o {
	case gate.OpenedUrgent:
		return reason.Urgent, "by the server"
	case gate.OpenedFragment:
		return reason.Fragments, ""
	}
	return reason.EngineLate, ""
}

// wasOpened deals with a connection whose packets the gate has let go.
func (m *Machine) wasOpened(c *Conn) {
	why, detail := openedBy(m.slotOf(c).WhyOpened())
	m.giveUp(c, why, detail)
}

// hasCrashed takes note of the crash of the process that held an unmodified server's
// connection, unless that is known. It reports whether there was one.
func (m *Machine) hasCrashed(c *Conn) bool {
	if c.wire == nil || c.state == Outage || c.is(abandoned) || m.slotOf(c).Released() != gate.ReleasedCrashed {
		return false
	}
	m.Crashed(c.slot, 0, 0)
	return true
}
