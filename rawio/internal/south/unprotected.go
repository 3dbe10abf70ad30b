package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Receivers of ConnUnprotected reports count them: there is one for each reason of a
// connection, and Stats.Unprotected counts the connection once. Every loss of protection
// is reported by declare, if the core does not have the connection, or by reportUnprotected.

// declare reports that a connection which the core does not have is not protected, and why.
func (m *Machine) declare(svc *service, flow segment.Flow, why reason.Reason, detail string) {
	m.emitUnprotected(Report{Port: svc.port, Flow: flow, Why: why}, detail, true)
}

// reasonSet is a set of reasons: bit 0 stands for all that are permanent, the others for those
// that may end and return. See Conn.reported.
type reasonSet uint8

// passing are the reasons that may end and return.
var passing = [...]reason.Reason{reason.Ungated, reason.Unwatched, reason.SYNsDropped}

// reportUnprotected reports that a connection is not protected, or not any more, and why, unless that
// was reported before.
func (m *Machine) reportUnprotected(c *Conn, why reason.Reason, detail string) {
	bit := reasonSet(1) << (slices.Index(passing[:], why) + 1)
	if c.reported&bit != 0 {
		return
	}
	first := c.reported == 0
	c.reported |= bit
	m.emitUnprotected(Report{Port: c.svc.port, Flow: c.Flow, ID: c.ID, Why: why, Logged: c.received, Kept: bit > 1}, detail, first)
}

func (m *Machine) emitUnprotected(r Report, detail string, first bool) {
	if first {
		m.Stats.Unprotected++
	}
	if r.Why == reason.LogDown {
		m.Stats.LogDown++
	}
	r.Kind, r.Reason = ConnUnprotected, r.Why.With(detail)
	m.cfg.Report(r)
}

// Declare reports that a connection of a port's listener, which the kernel has and the core has
// not, is not protected, and why. It does nothing if the core has the connection after all, or does not
// protect the port. If the core itself has let the connection begin unprotected, it reports its own
// reason.
func (m *Machine) Declare(port uint16, flow segment.Flow, why reason.Reason, detail string) {
	if svc := m.services[port]; svc != nil && !svc.fenced && m.conns.get(flow) == nil {
		m.readClock()
		if known, its := m.takeUnprotected(flow); known != "" {
			why, detail = known, its
		}
		m.declare(svc, flow, why, detail)
	}
}

// UnprotectFlow ends the protection of the live connection of a flow, and declares it. It returns false
// if there is none.
func (m *Machine) UnprotectFlow(flow segment.Flow, why reason.Reason, detail string) bool {
	c := m.conns.get(flow)
	if c == nil || c.state != Established {
		return false
	}
	m.readClock()
	m.unprotect(c, why, detail)
	return true
}

// Fail tells the core that the engine has failed, and why: no connection is protected any more.
func (m *Machine) Fail(why string) {
	m.readClock()
	m.Conns(func(c *Conn) bool {
		if c.mayBeExposed() {
			m.reportUnprotected(c, reason.EngineFailed, why)
		}
		return true
	})
}

// ByCookie reports whether a connection began with a SYN-ACK without a socket: a SYN
// cookie, or a SYN proxy's answer.
func (c *Conn) ByCookie() bool { return c.is(byCookie) && c.state == Established }

// Ending reports whether the connections of a port have been released, and none has
// begun to be protected since.
func (m *Machine) Ending(port uint16) bool {
	svc := m.services[port]
	return svc != nil && svc.ending
}

// SYN returns how long ago the flow's last SYN arrived, ns, if it is remembered and its
// SYN-ACK was not seen.
func (m *Machine) SYN(flow segment.Flow) (age int64, seen bool) {
	e := m.syns.get(flow)
	if e == nil || e.syn == nil || e.synack != nil {
		return 0, false
	}
	m.readClock()
	return m.now - e.arrived, true
}

// unprotect ends the protection of a connection, and reports that unless a held RST is about to end
// the connection.
func (m *Machine) unprotect(c *Conn, why reason.Reason, detail string) {
	m.dropAnswer(c)
	if x := c.extra; x == nil || x.held == nil || !x.held.Flags.Has(segment.RST) {
		m.reportUnprotected(c, why, detail) // first: the packets that leave may acknowledge more than is stable
	}
	m.open(c, why.With(detail))
}

// release leaves a connection to the kernel because its server has ended as intended: nothing is
// lost by that, and nothing is reported.
func (m *Machine) release(c *Conn) {
	m.dropAnswer(c)
	m.open(c, string(reason.ServerEnded))
}

// open ends the protection of a live connection, which continues: the gate
// passes everything, translated if necessary, and what was held leaves.
func (m *Machine) open(c *Conn, why string) {
	m.handshakeComplete(c)
	slot := m.slotOf(c)
	slot.SetFlags(slot.Flags() &^ gate.FlagLimit)
	slot.SetMode(gate.ModeOpen)
	held := slot.TakeHeld() || c.is(ackPending)
	if x := c.extra; x != nil && x.held != nil {
		if m.releaseHeld(c); c.state != Established {
			return
		}
	}
	c.ahead = nil // the kernel may lack those bytes: from now on only its own SACK blocks count
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
	if last != nil && c.missing != nil { // the client may be about to time out
		c.extra.lastACK, c.extra.lastACKRepeats, c.extra.ackedAt = clone(last), lastACKs, m.now
		m.watch(c)
	}
	if !c.is(recovered) {
		// Only events that are on their way remain; the
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

// The core's last ACK, which the client has waited for, is repeated lastACKs times, in case
// the network loses it, with lastACKEvery ns in between.
const (
	lastACKs     = 2
	lastACKEvery = 300e6
)

// repeatLastACK repeats it when due. It reports whether it has to be called again.
func (m *Machine) repeatLastACK(x *extra) bool {
	if x.lastACKRepeats == 0 || m.now-x.ackedAt < lastACKEvery {
		return x.lastACKRepeats > 0
	}
	x.lastACKRepeats, x.ackedAt = x.lastACKRepeats-1, m.now
	m.Stats.ACKs++
	m.net.ToClient(clone(x.lastACK))
	return x.lastACKRepeats > 0
}

// echoNewest makes the core's last ACK echo the client's newest known timestamp. The bytes that it
// acknowledges arrived long ago, and were retransmitted since. The kernel echoes
// the timestamp of the first transmission: the client would measure a round trip of
// that whole time, and its RTO would grow accordingly.
func (c *Conn) echoNewest(slot *gate.Slot) {
	newest := c.tsNewest(slot)
	if c.missing != nil {
		newest = seqnum.Max(newest, c.missing.tsval)
	}
	slot.SetTS(slot.TSVal(), newest)
}

// openLife is how long a connection that needs no translation is remembered
// after its protection has ended, ns.
const openLife = 5e9
