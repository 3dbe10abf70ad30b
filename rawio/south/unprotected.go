package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// Whoever gets reports of ConnUnprotected counts them: of a connection there is one for each
// reason, and Stats.Unprotected counts the connection once. Every way of losing protection
// leads through declare, if the core does not have the connection, or through reportUnprotected.

// declare says that a connection which the core does not have is not protected, and why.
func (m *Machine) declare(svc *service, flow segment.Flow, why reason.Reason, detail string) {
	m.sayUnprotected(Report{Port: svc.port, Flow: flow, Why: why}, detail, true)
}

// reasonSet is a set of reasons: bit 0 stands for all that hold for good, the others for those
// that may end, and come back. See Conn.reported.
type reasonSet uint8

// passing are the reasons that may end, and come back.
var passing = [...]reason.Reason{reason.Ungated, reason.Unwatched, reason.Barred}

// reportUnprotected reports that a connection is not protected, or not any more, and why, if that was not
// said of it before.
func (m *Machine) reportUnprotected(c *Conn, why reason.Reason, detail string) {
	bit := reasonSet(1) << (slices.Index(passing[:], why) + 1)
	if c.reported&bit != 0 {
		return
	}
	first := c.reported == 0
	c.reported |= bit
	m.sayUnprotected(Report{Port: c.svc.port, Flow: c.Flow, ID: c.ID, Why: why, Logged: c.received, Kept: bit > 1}, detail, first)
}

func (m *Machine) sayUnprotected(r Report, detail string, first bool) {
	if first {
		m.Stats.Unprotected++
	}
	if r.Why == reason.LogDown {
		m.Stats.LogDown++
	}
	r.Kind, r.Reason = ConnUnprotected, r.Why.With(detail)
	m.cfg.Report(r)
}

// Declare is for a connection of a port's listener that the kernel has and the core has
// not: it says that it is not protected, and why. If the core knows it after all, or not
// the port, nothing is said. If the core has had it go unprotected itself, it knows better why.
func (m *Machine) Declare(port uint16, flow segment.Flow, why reason.Reason, detail string) {
	if svc := m.services[port]; svc != nil && !svc.fenced && m.conns.get(flow) == nil {
		m.read()
		if known, its := m.waived(flow); known != "" {
			why, detail = known, its
		}
		m.declare(svc, flow, why, detail)
	}
}

// LetGo ends the protection of the live connection of a flow, and declares it. It returns false
// if there is none.
func (m *Machine) LetGo(flow segment.Flow, why reason.Reason, detail string) bool {
	c := m.conns.get(flow)
	if c == nil || c.state != Established {
		return false
	}
	m.read()
	m.unprotect(c, why, detail)
	return true
}

// Fail says that the engine goes on no longer, and why: no connection is protected any more.
func (m *Machine) Fail(why string) {
	m.read()
	m.Conns(func(c *Conn) bool {
		if c.mayBeExposed() {
			m.reportUnprotected(c, reason.EngineFailed, why)
		}
		return true
	})
}

// ByCookie reports whether a connection began with a SYN-ACK that had no socket: a SYN
// cookie, or what a SYN proxy has answered.
func (c *Conn) ByCookie() bool { return c.is(byCookie) && c.state == Established }

// Ending reports whether the connections of a port have been released, and none has
// begun to be protected since.
func (m *Machine) Ending(port uint16) bool {
	svc := m.services[port]
	return svc != nil && svc.ending
}

// SYN returns how long ago the flow's last SYN came, in ns, if it is remembered and its
// SYN-ACK was not seen.
func (m *Machine) SYN(flow segment.Flow) (age int64, seen bool) {
	e := m.syns.get(flow)
	if e == nil || e.syn == nil || e.synack != nil {
		return 0, false
	}
	m.read()
	return m.now - e.arrived, true
}

// unprotect ends the protection of a connection and declares it, unless its end was on its way
// already.
func (m *Machine) unprotect(c *Conn, why reason.Reason, detail string) {
	m.dropAnswer(c)
	if x := c.extra; x == nil || x.held == nil || !x.held.Flags.Has(segment.RST) {
		m.reportUnprotected(c, why, detail) // first: what leaves may tell more than is stable
	}
	m.open(c, why.With(detail))
}

// release leaves a connection to the kernel because its server has ended as it should: nothing is
// lost by that, and nothing declared.
func (m *Machine) release(c *Conn) {
	m.dropAnswer(c)
	m.open(c, string(reason.ServerEnded))
}

// open ends the protection of a live connection without harm to it: the gate
// lets everything pass, translated if need be, and what was held goes out.
func (m *Machine) open(c *Conn, why string) {
	m.completed(c)
	slot := m.slotOf(c)
	slot.SetFlags(slot.Flags() &^ gate.FlagLimit)
	slot.SetMode(gate.ModeOpen)
	held := slot.TakeHeld() || c.is(ackPending)
	if x := c.extra; x != nil && x.held != nil {
		if m.releaseHeld(c); c.state != Established {
			return
		}
	}
	c.ahead = nil // the kernel may lack it: from now on only what that SACKs is promised
	var last *segment.Segment
	if held && seqnum.Less(c.acked, slot.Ack()) {
		c.echoNewest(slot)
		last = m.sendAck(c, slot, slot.Ack())
	}
	if replays := c.wire == nil && c.is(recovered) && c.svc.alive; !replays {
		_ = m.log.Delete(c.ID) // an unknown connection has nothing to delete
		c.ID = 0
	} // else the handler may still be reading from the log
	open := c.isOpening()
	if !m.becomeOpen(c, why) {
		return
	}
	if last != nil && c.hole != nil { // the client may be near the end of its patience
		c.extra.last, c.extra.lasts, c.extra.ackedAt = clone(last), lastRepeats, m.now
		m.watch(c)
	}
	if !c.is(recovered) {
		// Nothing is left to do but for events that are on their way; the
		// flow's next connection is a new one.
		slot.SetMode(gate.ModeFree)
		m.gate.Unbind(c.Flow)
		c.extra.expireAt = m.now + openLife
		m.watch(c)
	}
	if open {
		m.handshakeDone(c)
	}
}

// The last ACK of the core, which the client has waited for, is sent so often again, in case
// the network loses it, with so many ns between.
const (
	lastRepeats = 2
	lastEvery   = 300e6
)

// repeatLast sends it again if it is time. It reports whether there is more to do.
func (m *Machine) repeatLast(x *extra) bool {
	if x.lasts == 0 || m.now-x.ackedAt < lastEvery {
		return x.lasts > 0
	}
	x.lasts, x.ackedAt = x.lasts-1, m.now
	m.Stats.ACKs++
	m.net.ToClient(clone(x.last))
	return x.lasts > 0
}

// echoNewest has the last ACK of the core echo the newest timestamp of the client that is
// known. What it acknowledges came long ago, and was said again since; the kernel echoes
// the timestamp of the first time, from which the client would take a round trip
// to last as long as all of that, and wait for as long when something is lost.
func (c *Conn) echoNewest(slot *gate.Slot) {
	newest := c.tsNewest(slot)
	if c.hole != nil {
		newest = seqnum.Max(newest, c.hole.clock)
	}
	slot.SetTS(slot.TSVal(), newest)
}

// openLife is how long a connection that needs no translation is remembered
// after its protection has ended, ns.
const openLife = 5e9
