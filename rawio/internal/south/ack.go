package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Stable takes the log's stability upcalls (spec: Stability Notification
// Upcall). Upcalls of connections that are gone are ignored.
func (m *Machine) Stable(upcalls []logserver.Upcall) {
	m.readClock()
	for _, u := range upcalls {
		c := m.BySlot(uint32(u.Tag))
		if c == nil || tag(c.slot, c.gen) != u.Tag || c.ID != 0 && c.ID != u.ID {
			continue // connections of an earlier engine may have the same tag
		}
		if u.Gone {
			c.set(logGone)
			m.touch(c)
			continue
		}
		if u.Stable > c.stable || u.Fin || u.Meta {
			m.logProgress(c)
		}
		c.stable = max(c.stable, u.Stable)
		if u.Fin {
			c.set(finLogged)
		}
		if u.Meta {
			m.metaStable(c)
		}
		m.touch(c)
	}
}

// Flush acts on what a batch of segments and upcalls has changed: it raises
// the gate's stable numbers and sends at most one ACK for each connection.
func (m *Machine) Flush() {
	for i := 0; i < len(m.touched); i++ {
		c := m.touched[i]
		c.unset(touched)
		if c.is(logGone) {
			m.logLost(c)
			continue
		}
		switch c.state {
		case Established:
			m.flushLive(c)
		case Outage:
			m.answer(c)
		case Rolling:
			m.answer(c)
			m.roll(c)
		case Reconnecting:
			m.spoofWhenStable(c)
			if c.state == Reconnecting {
				m.answer(c)
			}
		}
	}
	clear(m.touched)
	m.touched = m.touched[:0]
}

// flushLive is figures 14 and 21: a pending ACK, which the gate has held, leaves with the
// stability upcall. The exchange with the gate is safe because stable is written before held is
// taken: the gate sets held, and then reads stable again.
func (m *Machine) flushLive(c *Conn) {
	slot, stable := m.slotOf(c), c.stableSeq()
	if slot.Stable() != stable {
		m.trace(c, stable)
		slot.SetStable(stable)
	}
	if slot.High() != c.high {
		slot.SetHigh(c.high)
	}
	held := slot.TakeHeld()
	if held {
		c.set(ackPending)
	}
	if c.flags&(ackPending|dupACKDue) != 0 {
		want := slot.Ack()
		ack := seqnum.Min(stable, want)
		// An ACK without a new number was held for its SACK blocks: the
		// client gets it, too.
		again := held && (want == ack || !c.ahead.empty())
		if c.is(dupACKDue) || again || seqnum.Less(c.acked, ack) {
			m.sendAck(c, slot, ack)
		}
		c.unset(dupACKDue)
		if seqnum.LEQ(want, ack) {
			c.unset(ackPending)
		} else {
			c.set(ackPending) // the kernel has sent its ACK, and may not send it again
		}
	}
	m.watchLog(c)
	if c.closed() {
		m.finished(c)
	}
}

// behind reports whether the new kernel socket has sent less than the old one.
// The client's RCV.NXT may be higher, and then it refuses the kernel's ACKs,
// whose sequence numbers are below it (RFC 9293 section 3.10.7.4). Until the restarted handler
// has caught up, the core sends the ACKs, with the right sequence number.
func (c *Conn) behind(slot *gate.Slot) bool {
	return c.is(recovered) && seqnum.Less(slot.SndNxt(), c.nxt)
}

// trace reports a stable number to Config.Trace before an ACK with that number can leave.
func (m *Machine) trace(c *Conn, stable uint32) {
	if m.cfg.Trace != nil {
		m.cfg.Trace(c, stable)
	}
}

// sendAck sends the kernel's pending ACK with the number ack, and returns it.
func (m *Machine) sendAck(c *Conn, slot *gate.Slot, ack uint32) *segment.Segment {
	s := c.liveAck(slot, ack)
	s.Seq = seqnum.Max(c.nxt, slot.SndNxt())
	if c.is(ackPending) { // else no ACK of the kernel was held
		s.Flags |= segment.Flags(slot.HeldFlags()) & segment.ECE
	}
	c.acked = ack
	if c.extra != nil {
		c.extra.edge = c.liveEdge(slot)
	}
	m.Stats.ACKs++
	m.net.ToClient(s)
	return s
}

// liveEdge returns the right window edge to advertise to a live connection's client.
func (c *Conn) liveEdge(slot *gate.Slot) uint32 {
	if slot.Flags()&gate.FlagLimit != 0 {
		return seqnum.Min(slot.Edge(), slot.Limit())
	}
	return slot.Edge()
}

// widened reports whether the window has grown so much since the core last advertised it
// that a window update is due: it was less than two segments, or has doubled. A sender
// waits while the window has room for less than a segment (RFC 9293 section 3.8.6.2.1).
func (c *Conn) widened(slot *gate.Slot) bool {
	advertised := seqnum.Diff(c.extra.edge, c.acked)
	now := seqnum.Diff(c.liveEdge(slot), c.acked)
	return now > advertised && (advertised < 2*int32(max(c.server.mss, defaultMSS)) || now >= 2*advertised)
}

// liveAck builds an ACK with the window and timestamps of a live connection.
func (c *Conn) liveAck(slot *gate.Slot, ack uint32) *segment.Segment {
	s := c.ackSegment(ack, c.liveEdge(slot))
	s.Options.TSVal, s.Options.TSEcr = slot.TSVal(), c.tsRecent(slot)
	return s
}

// tsRecent returns the TSecr of the core's segments on a live connection: TS.Recent as the
// client sees it (RFC 7323 section 4.3), with the core's Last.ACK.sent. Bytes that the kernel has and
// the log lacks are retransmitted by the client, and the kernel refuses those segments before it
// looks at their timestamps. If the ACK echoed the first transmission's timestamp, it would mean that
// the retransmission was spurious, and Linux would undo its congestion control response
// (Eifel detection, RFC 3522), once for each segment. While the log lacks something,
// the same holds for retransmissions of what it has: the client begins with the first byte that
// is not stable. If the log has everything, they were spurious indeed.
func (c *Conn) tsRecent(slot *gate.Slot) uint32 {
	if seqnum.Less(c.rcvNxt(), slot.Ack()) {
		return c.tsNewest(slot)
	}
	return seqnum.Max(slot.TSEcr(), c.peerTS)
}

// tsNewest returns the newest timestamp of the client's segments, retransmissions included.
func (c *Conn) tsNewest(slot *gate.Slot) uint32 {
	ts := seqnum.Max(slot.TSEcr(), c.peerTS)
	if c.retransmitTS != 0 {
		ts = seqnum.Max(ts, c.retransmitTS)
	}
	return ts
}

// ackSegment builds a pure ACK to the client with the window up to edge and
// SACK blocks for data beyond a gap. A block that began at the ACK number would mean that
// its bytes were discarded (RFC 2018 section 8: reneging).
func (c *Conn) ackSegment(ack, edge uint32) *segment.Segment {
	window := uint32(max(0, seqnum.Diff(edge, ack))) >> c.server.wscale
	s := &segment.Segment{
		Src: c.Flow.Server, Dst: c.Flow.Client,
		Seq: c.nxt, Ack: ack, Flags: segment.ACK, Window: uint16(min(window, 65535)),
	}
	s.Options.HasTS = c.server.ts()
	if c.server.sack() {
		n := 4
		if c.server.ts() {
			n = 3 // RFC 2018 section 3: what fits beside timestamps
		}
		for _, b := range c.ahead.blocks(n + 1) {
			left, right := c.irs+1+uint32(b[0]), c.irs+1+uint32(b[1])
			if seqnum.Less(ack, left) && s.Options.NSACK < n {
				s.Options.SACK[s.Options.NSACK] = segment.Block{Left: left, Right: right}
				s.Options.NSACK++
			}
		}
	}
	return s
}
