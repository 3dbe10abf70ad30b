package south

import (
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Most things that end a connection, or make it impossible to recover, are reported by an event of the
// gate. An event can be lost: the ring buffer is full while very
// many connections begin or end at once. Most events come again. The facts of the others are in
// the slot as well, so the core reads it: each slot now and then, and a connection's at a crash and before
// a FIN that the gate has held is released.
//
//	event          when it is lost
//	SYN-ACK held   The kernel retransmits it, or answers the next SYN of the client or the core.
//	SYN cookie     The same. One that belongs to no connection passes, and the engine finds the
//	               connection in the kernel's list; see Declare.
//	FIN held       The kernel retransmits it.
//	RST held       The kernel answers the client's next segment with another one. It is as if the
//	               network had lost the first; meanwhile the connection would be recovered.
//	RST sent       see Slot.Aborted
//	SYN refused    The client retransmits it.
//	crashed        see Slot.Released
//	unfollowed     see Slot.WhyOpened; a fragment that was held comes again.
//	proof          The engine sends another one.
//
// No event reports that a server's record is incomplete: its head in the journal has that.

// checkRecoverable checks whether a protected connection is over, or cannot be recovered any more. One
// that both sides have closed stays protected: nothing may pass between them any more.
func (m *Machine) checkRecoverable(c *Conn) {
	if c.state == Established && m.slotOf(c).Aborted() {
		m.resetByServer(c)
		return
	}
	if m.hasCrashed(c) || c.closed() {
		return
	}
	if why, detail, is := m.unrecoverable(c); is {
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

// unrecoverable returns why a connection cannot be recovered, according to the slot and the server's
// record.
func (m *Machine) unrecoverable(c *Conn) (why reason.Reason, detail string, is bool) {
	if opened := m.slotOf(c).WhyOpened(); opened != gate.OpenedNo {
		why, detail = openedBy(opened)
		return why, detail, true
	}
	head := m.head(c)
	return reason.NoRecord, "", c.state == Established && head.Lost && !head.Closing
}

// openedBy returns the reason of a connection that the gate has opened.
func openedBy(o gate.Opened) (why reason.Reason, detail string) {
	switch o {
	case gate.OpenedUrgent:
		return reason.Urgent, "by the server"
	case gate.OpenedFragment:
		return reason.Fragments, ""
	}
	return reason.EngineStall, ""
}

// wasOpened deals with a connection that the gate has opened.
func (m *Machine) wasOpened(c *Conn) {
	why, detail := openedBy(m.slotOf(c).WhyOpened())
	m.giveUp(c, why, detail)
}

// hasCrashed handles the crash of the process that held an unmodified server's
// connection, if the slot has one that is not known yet, and reports whether it did.
func (m *Machine) hasCrashed(c *Conn) bool {
	if c.wire == nil || c.state == Outage || c.is(serverClosed) || m.slotOf(c).Released() != gate.ReleasedCrashed {
		return false
	}
	m.Crashed(c.slot, 0, 0)
	return true
}
