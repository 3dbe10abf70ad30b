package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Somebody may take the gate off an interface, or put something before it. From then on
// the packets of a connection by that interface are not judged: ACKs leave that the log
// does not cover, output that nobody records, and at a crash FINs and RSTs. The core calls
// such connections exposed, and they are not protected.
//
//	            Ungated                 Gated
//	protected ──────────► exposed ───────────────► exposed, settling
//	    ▲                     ▲                       │         │ settleFor is over
//	    └─────────────────────┼───────────────────────┘         ▼
//	      the log has what    └─ Ungated again             unprotected for good
//	      the kernel had taken by then, and the record
//	      what it had sent
//
// The client does not say again what the kernel has acknowledged. It is in the log all the
// same if the tap has seen it, and soon stable: then nothing is lost.

// exposure is what is known of an exposed connection.
type exposure struct {
	conn   *Conn
	since  int64
	detail string
	asked  int64 // time of the last question of Kernel.Progress

	settling bool // the gate is there again, and the progress known
	until    int64
	progress Progress // to be found in log and record
}

const (
	// reportExposedAfter is after what time an exposed connection is reported, ns: most often the
	// gate is back within a millisecond.
	reportExposedAfter = 1e9
	settleFor          = 3e9
	// askProgressEvery is how often the kernel is asked about a connection at most, ns, and
	// progressPerTick about how many in one tick: each takes some microseconds.
	askProgressEvery = 1e9
	progressPerTick  = 64
)

// Via says by which interface that has come of which Segment or Event tell next.
func (m *Machine) Via(ifindex int) { m.via = uint32(ifindex) }

// Ungated says that packets may pass by the gate on an interface, and why.
func (m *Machine) Ungated(ifindex int, why string) {
	m.read()
	if m.ungated == nil {
		m.ungated = map[uint32]string{}
	}
	m.ungated[uint32(ifindex)] = why
	for _, e := range m.exposed {
		if m.by(e.conn, uint32(ifindex)) {
			e.settling, e.detail = false, why
		}
	}
	m.Conns(func(c *Conn) bool {
		if m.by(c, uint32(ifindex)) {
			m.expose(c, why)
		}
		return true
	})
}

// by reports whether packets of the connection are known to pass an interface.
func (m *Machine) by(c *Conn, ifindex uint32) bool {
	w := m.ways(c)
	return ifindex != 0 && slices.Contains(w[:], ifindex)
}

// ways are the interfaces by which packets of a connection pass, as far as is known, else 0:
// that by which the tap has seen the client's newest, and those by which the gate has seen
// the newest of either side. Until it has seen one the server's SYN-ACK has to do.
func (m *Machine) ways(c *Conn) [3]uint32 {
	w := [3]uint32{c.in, 0, c.out}
	if c.state == SynReceived { // the slot is still that of the connection before
		return w
	}
	slot := m.slotOf(c)
	w[1] = uint32(slot.In())
	if out, _ := slot.Out(); out != 0 {
		w[2] = uint32(out)
	}
	return w
}

// expose takes note that packets of the connection may pass by the gate from now on.
func (m *Machine) expose(c *Conn, why string) {
	if c.mayBeExposed() && !c.is(exposed) {
		c.set(exposed)
		m.exposed = append(m.exposed, &exposure{conn: c, since: m.now, detail: why})
	}
}

// mayBeExposed reports whether the connection's state is one that is protected.
func (c *Conn) mayBeExposed() bool {
	return c.state == Established || c.state == Outage || c.state == Reconnecting || c.state == Rolling
}

// exposeIfUngated exposes a connection that begins, or receives, on an interface without gate.
func (m *Machine) exposeIfUngated(c *Conn) {
	if len(m.ungated) == 0 || c.is(exposed) {
		return
	}
	for _, i := range m.ways(c) {
		if why, ok := m.ungated[i]; ok && i != 0 {
			m.expose(c, why)
			return
		}
	}
}

// Gated says that no packet passes by the gate on an interface any more. progress is that
// of the kernel's sockets, at some time after; nil: it is not known, and asked for later.
func (m *Machine) Gated(ifindex int, progress map[segment.Flow]Progress) {
	m.read()
	delete(m.ungated, uint32(ifindex))
	for _, e := range m.exposed {
		c := e.conn
		if progress == nil || e.settling || !c.is(exposed) || m.stillUngated(c) {
			continue
		}
		p, ok := progress[c.Flow]
		if !ok { // nobody goes on with it
			p = Progress{Received: c.received}
		}
		m.settleExposed(e, p)
	}
	m.tickExposed()
}

// settleExposed has an exposed connection be judged by the progress of the kernel's socket
// at some time since the gate is there again.
func (m *Machine) settleExposed(e *exposure, p Progress) {
	if c := e.conn; c.is(recovered) {
		// A translated connection stood still: neither end takes the other's numbers.
		p = Progress{Received: c.received}
	} else if p.Sent > 0 { // the gate has not seen all of it
		a := m.otherPathOf(c)
		a.sentEnd, a.sentKnown = c.iss+1+uint32(p.Sent), true
	}
	e.settling, e.until, e.progress = true, m.now+settleFor, p
}

// askProgress asks the kernel about an exposed connection of which Gated did not know.
func (m *Machine) askProgress(e *exposure) {
	if e.settling || m.stillUngated(e.conn) || e.asked != 0 && m.now-e.asked < askProgressEvery || m.probing == 0 {
		return
	}
	m.probing--
	e.asked = m.now
	if p, known := m.kernel.Progress(e.conn.Flow); known || e.conn.is(recovered) {
		m.settleExposed(e, p)
	}
}

func (m *Machine) stillUngated(c *Conn) bool {
	for i := range m.ungated {
		if m.by(c, i) {
			return true
		}
	}
	return false
}

// tickExposed looks after exposed connections.
func (m *Machine) tickExposed() {
	if len(m.exposed) == 0 {
		return
	}
	m.probing = progressPerTick
	m.exposed = slices.DeleteFunc(m.exposed, func(e *exposure) bool {
		c := e.conn
		if !c.mayBeExposed() {
			c.unset(exposed)
			return true
		}
		if m.now-e.since >= reportExposedAfter && m.completed(c) {
			m.reportUnprotected(c, reason.Ungated, e.detail)
		}
		m.askProgress(e)
		switch {
		case !e.settling:
			return false
		case c.state != Established, c.caughtUp(e.progress):
			c.unset(exposed)
			return true
		case m.now < e.until:
			return false
		}
		c.unset(exposed)
		m.unprotect(c, reason.Passed, "")
		return true
	})
}

// lostUnseen reports whether an exposed connection that has just crashed cannot be recovered:
// its client will not say again what the kernel has acknowledged, and the core has not got it.
// The kernel's socket is still there, if it had nothing left to be read.
func (m *Machine) lostUnseen(c *Conn) bool {
	return c.is(exposed) && slices.ContainsFunc(m.exposed, func(e *exposure) bool {
		if e.conn != c {
			return false
		}
		if !e.settling {
			if p, known := m.kernel.Progress(c.Flow); known {
				m.settleExposed(e, p)
			}
		}
		return e.settling && !c.has(e.progress)
	})
}

// caughtUp reports whether log and record have all that the kernel's socket has taken and
// sent.
func (c *Conn) caughtUp(p Progress) bool {
	return c.stable >= c.received && c.ahead == nil && c.has(p)
}

// has reports whether the core has had all of that, and so will the log and the record.
func (c *Conn) has(p Progress) bool {
	received := c.received
	if c.fin >= 0 { // the kernel counts it
		received++
	}
	if received < p.Received {
		return false
	}
	return c.wire == nil || c.wire.digest == nil || c.wire.digest.loose || c.wire.digest.end >= p.Sent
}

// widenExposed widens the bounds to what the kernel may accept: the gate sees nothing of that
// while the connection is exposed.
func (m *Machine) widenExposed(c *Conn, s *segment.Segment, b bounds) bounds {
	b.edge = seqnum.Max(b.edge, c.rcvNxt()+maxAhead)
	if seqnum.Less(b.sent, s.Ack) {
		b.sent = s.Ack
		m.slotOf(c).SetSndNxt(s.Ack)
	}
	return b
}
