package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Somebody may take the gate off an interface, or put another program before it. From then on
// packets on that interface are not judged: ACKs above the stable number leave, output is not
// recorded, and at a crash FINs and RSTs leave. The core calls connections with packets on such an
// interface exposed, and they are not protected.
//
//	            Ungated                 Gated
//	protected ──────────► exposed ───────────────► exposed, comparing
//	    ▲                     ▲                       │         │ compareFor is over
//	    └─────────────────────┼───────────────────────┘         ▼
//	      the log has what    └─ Ungated again             unprotected for good
//	      the kernel had taken by then, and the record
//	      what it had sent
//
// The client does not retransmit what the kernel has acknowledged. But if the tap has seen it, it is
// in the log and will soon be stable: then nothing is lost.

// exposure is what is known of an exposed connection.
type exposure struct {
	conn      *Conn
	since     int64
	detail    string
	queriedAt int64 // time of the last call of Kernel.Progress

	comparing bool // the gate is there again, and progress is valid
	until     int64
	progress  Progress // of the kernel's socket; log and record must reach it
}

const (
	// reportExposedAfter is after what time an exposed connection is reported, ns: usually the
	// gate is back within a millisecond.
	reportExposedAfter = 1e9
	compareFor         = 3e9
	// queryProgressEvery is the shortest time between two queries of the kernel about a connection, ns,
	// and progressPerTick how many connections it is asked about in one tick: each query takes some
	// microseconds.
	queryProgressEvery = 1e9
	progressPerTick    = 64
)

// Via sets the interface of what the next calls of Segment and Event are about.
func (m *Machine) Via(ifindex int) { m.via = uint32(ifindex) }

// Ungated tells the core that packets may bypass the gate on an interface, and why.
func (m *Machine) Ungated(ifindex int, why string) {
	m.readClock()
	if m.ungated == nil {
		m.ungated = map[uint32]string{}
	}
	m.ungated[uint32(ifindex)] = why
	for _, e := range m.exposed {
		if m.uses(e.conn, uint32(ifindex)) {
			e.comparing, e.detail = false, why
		}
	}
	m.Conns(func(c *Conn) bool {
		if m.uses(c, uint32(ifindex)) {
			m.expose(c, why)
		}
		return true
	})
}

// uses reports whether packets of the connection are known to use an interface.
func (m *Machine) uses(c *Conn, ifindex uint32) bool {
	w := m.ways(c)
	return ifindex != 0 && slices.Contains(w[:], ifindex)
}

// ways returns the interfaces that packets of a connection use, 0 where that is not known: where the
// tap has seen the client's newest packet, and where the gate has seen the newest one of the client
// and of the server. Until the gate has seen one of the server, the SYN-ACK's interface is used.
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

// expose notes that packets of the connection may bypass the gate from now on.
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

// exposeIfUngated exposes a connection that begins, or receives, on an interface without the gate.
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

// Gated tells the core that no packet bypasses the gate on an interface any more. progress is that
// of the kernel's sockets at some time after; nil: it is not known, and is queried later.
func (m *Machine) Gated(ifindex int, progress map[segment.Flow]Progress) {
	m.readClock()
	delete(m.ungated, uint32(ifindex))
	for _, e := range m.exposed {
		c := e.conn
		if progress == nil || e.comparing || !c.is(exposed) || m.stillUngated(c) {
			continue
		}
		p, ok := progress[c.Flow]
		if !ok { // the kernel has no socket
			p = Progress{Received: c.received}
		}
		m.compareExposed(e, p)
	}
	m.tickExposed()
}

// compareExposed begins to compare an exposed connection with the progress of the kernel's socket
// at some time since the gate is there again.
func (m *Machine) compareExposed(e *exposure, p Progress) {
	if c := e.conn; c.is(recovered) {
		// A translated connection stood still: neither end accepts the other's numbers.
		p = Progress{Received: c.received}
	} else if p.Sent > 0 { // the gate has not seen all of it
		a := m.otherPathOf(c)
		a.sentEnd, a.sentKnown = c.iss+1+uint32(p.Sent), true
	}
	e.comparing, e.until, e.progress = true, m.now+compareFor, p
}

// queryProgress asks the kernel about an exposed connection whose progress Gated did not have.
func (m *Machine) queryProgress(e *exposure) {
	if e.comparing || m.stillUngated(e.conn) || e.queriedAt != 0 && m.now-e.queriedAt < queryProgressEvery || m.queriesLeft == 0 {
		return
	}
	m.queriesLeft--
	e.queriedAt = m.now
	if p, known := m.kernel.Progress(e.conn.Flow); known || e.conn.is(recovered) {
		m.compareExposed(e, p)
	}
}

func (m *Machine) stillUngated(c *Conn) bool {
	for i := range m.ungated {
		if m.uses(c, i) {
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
	m.queriesLeft = progressPerTick
	m.exposed = slices.DeleteFunc(m.exposed, func(e *exposure) bool {
		c := e.conn
		if !c.mayBeExposed() {
			c.unset(exposed)
			return true
		}
		if m.now-e.since >= reportExposedAfter && m.handshakeComplete(c) {
			m.reportUnprotected(c, reason.Ungated, e.detail)
		}
		m.queryProgress(e)
		switch {
		case !e.comparing:
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
// the kernel has acknowledged bytes that the core has not got, and the client will not retransmit
// them. The kernel's socket is still there, unless it had unread data.
func (m *Machine) lostUnseen(c *Conn) bool {
	return c.is(exposed) && slices.ContainsFunc(m.exposed, func(e *exposure) bool {
		if e.conn != c {
			return false
		}
		if !e.comparing {
			if p, known := m.kernel.Progress(c.Flow); known {
				m.compareExposed(e, p)
			}
		}
		return e.comparing && !c.hasProgress(e.progress)
	})
}

// caughtUp reports whether log and record have all that the kernel's socket has received and
// sent.
func (c *Conn) caughtUp(p Progress) bool {
	return c.stable >= c.received && c.ahead == nil && c.hasProgress(p)
}

// hasProgress reports whether the core has got all of that, so that log and record will have it.
func (c *Conn) hasProgress(p Progress) bool {
	received := c.received
	if c.fin >= 0 { // the kernel counts it
		received++
	}
	if received < p.Received {
		return false
	}
	return c.wire == nil || c.wire.digest == nil || c.wire.digest.loose || c.wire.digest.end >= p.Sent
}

// widenExposed widens the bounds to what the kernel may accept: while the connection is exposed, the
// gate does not see what the kernel has sent and advertised.
func (m *Machine) widenExposed(c *Conn, s *segment.Segment, b bounds) bounds {
	b.edge = seqnum.Max(b.edge, c.rcvNxt()+maxAhead)
	if seqnum.Less(b.sent, s.Ack) {
		b.sent = s.Ack
		m.slotOf(c).SetSndNxt(s.Ack)
	}
	return b
}
