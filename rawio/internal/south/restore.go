package south

import (
	"errors"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Restoring is recovery after the engine itself has ended, perhaps with its host:
// nothing is left of a connection but what the log holds.
//
//	  Restore            a segment of the client
//	─────────► Outage, ───────────────────────────► Outage ──► as after any crash
//	         unsynced │
//	                  │ RST of the client, or no answer for Config.Unanswered
//	                  ▼
//	               Closed
//
// The log does not have the server's stream, nor how much of it the client
// has got: una, nxt, the timestamps and the windows are learned from the client's
// first segment, which a probe asks for. Until then the connection is
// not opened again, and the gate holds all its packets. Known from the start is
// the number that may be acknowledged: the log's stable data, and nothing else,
// was acknowledged before.
//
// An una that is too low does no harm: the client gets bytes a second time. So
// the client's ACK number can be used as it is, and it does not matter what an earlier server may
// have sent beyond it. Nor does it matter whether the
// last number that the client acknowledges is a byte or the server's FIN: it counts
// as not acknowledged, and the new server sends it again, byte or FIN. Whether the new
// server sends the same there cannot be checked: see docs/limits.md.

// Stored is a connection as the log knows it.
type Stored struct {
	Meta  logserver.Meta
	Age   int64               // ns since Meta.Created, as far as the clocks tell that were there; at least 0
	End   int64               // of its stable data, which begins at Meta.Base.In
	Reads []logserver.ReadRun // not for unmodified servers
}

// restore is the state of a connection that was taken from the log, until it is
// live.
type restore struct {
	out     logserver.Output
	accept  uint32 // upper bound of the right window edges that were advertised
	synced  bool   // a segment of the client has fixed SND.UNA
	probes  int
	probeAt int64
	since   int64  // time since when the client could have answered; then the time when it did
	next    uint32 // the number that the client sends next
	lost    string // why the connection cannot be recovered, see markLost; empty: it can
}

// unsynced reports whether the connection was taken from the log, and no segment of the client has
// come yet: SND.UNA, SND.NXT and the client's window are not known.
func (c *Conn) unsynced() bool {
	return c.extra != nil && c.extra.restore != nil && !c.extra.restore.synced
}

// Restore is Protect for a port with connections that an earlier engine has left in
// the log. It takes them over, in the order in which they were opened, and begins
// an outage. The gate must hold all packets of the port until Restore has
// returned. It returns how many connections were taken over.
func (m *Machine) Restore(port uint16, s Service, list []Stored) int {
	m.readClock()
	svc := m.service(port, s)
	if !svc.outage {
		svc.since, svc.crashed = m.now, m.now
		svc.outage, svc.busy, svc.queue, svc.inflight = true, false, nil, 0
	}
	n := 0
	for i := range list {
		if m.restore(svc, &list[i]) {
			n++
		}
	}
	m.ReleaseInherited(port)
	// Last: from here on packets of no known connection pass.
	m.gate.SetService(port, true, s.Unmodified)
	m.Stats.Restored += uint64(n)
	m.Flush()
	return n
}

// agreed is what the log holds of the handshake, or an error if it holds nonsense.
func (s *Stored) agreed() (agreed, error) {
	if b := &s.Meta.Base; b.Validate() != nil || b.In > s.End {
		return agreed{}, errBase
	}
	return decodeAgreed(s.Meta.Handshake)
}

var errBase = errors.New("it begins beyond the end of its data")

// restore takes one connection over and reports whether that was possible.
func (m *Machine) restore(svc *service, s *Stored) bool {
	meta := &s.Meta
	flow := segment.Flow(meta.Flow)
	a, err := s.agreed()
	if err != nil {
		m.declare(svc, flow, reason.LogStrange, err.Error())
		_ = m.log.Delete(meta.ID)
		return false
	}
	if old := m.conns.get(flow); old != nil {
		if !old.unsynced() {
			if old.ID != meta.ID { // else it is known already
				_ = m.log.Delete(meta.ID) // the client has begun a new connection since
			}
			return false
		}
		m.end(old, "replaced by a new connection")
	}
	c := m.stored(svc, s, &a, Outage)
	if !m.takeSlot(c) {
		m.declare(svc, flow, reason.NoSlots, "it cannot be recovered")
		_ = m.log.Delete(c.ID)
		return false
	}
	m.conns.put(c)
	m.beginRestore(c, s, &a)
	m.restoreRecord(c, s)
	m.holdRestored(c)
	m.releaseOldSlot(flow, c.slot)
	m.watch(c)
	m.lagging = true                // its client is probed at once
	m.update(c, logserver.Output{}) // with its new tag
	return true
}

// beginRestore notes that a segment of the client has to synchronize the connection.
func (m *Machine) beginRestore(c *Conn, s *Stored, a *agreed) {
	c.set(restored)
	stable := c.stableSeq()
	c.extra = &extra{
		edge: stable + minOffer, window: minOffer, tsval: a.synack.TSVal, ackedAt: m.now,
		restore: &restore{out: s.Meta.Output, accept: stable + 65535<<c.server.wscale, since: m.now},
	}
}

// stored returns a connection with what the log has of it. It is not in the index, and
// the client's numbers are not known.
func (m *Machine) stored(svc *service, s *Stored, a *agreed, state State) *Conn {
	meta := &s.Meta
	syn, synack := a.segments()
	c := m.newConn(svc, segment.Flow(meta.Flow), state)
	c.setHandshake(&syn, &synack)
	c.ID, c.received, c.stable = meta.ID, s.End, s.End
	c.maxWindow <<= c.client.wscale
	c.setBase(Base{meta.Base.In, meta.Base.Out})
	c.tsAt, c.since, c.waited = m.seconds()-uint32(s.Age/1e9), m.now-s.Age, engineWait
	if s.End > 0 {
		c.set(confirmed)
	}
	if meta.Finished {
		c.fin = s.End
		c.set(finLogged)
	}
	c.high, c.acked = c.rcvNxt(), c.stableSeq()
	return c
}

// restoreRecord restores the server's record in the journal, or for an unmodified server where the
// roll-forward begins.
func (m *Machine) restoreRecord(c *Conn, s *Stored) {
	if c.svc.Unmodified {
		c.wire = newWire(c.svc.Compare, c.client.mss)
		return
	}
	if err := m.record.Restore(c.slot, c.gen, c.Flow, c.start().In, s.Reads); err != nil {
		m.markLost(c, reason.NoRecord, err.Error())
	}
}

// markLost declares that a connection from the log cannot be recovered. The connection is kept until its
// client sends a segment, and is then reset: before that the client's numbers are not known.
func (m *Machine) markLost(c *Conn, why reason.Reason, detail string) {
	if r := c.extra.restore; r.lost == "" {
		r.lost = why.With(detail)
		m.reportUnprotected(c, why, detail)
	}
}

// holdRestored makes the gate hold both directions of a connection.
func (m *Machine) holdRestored(c *Conn) {
	m.beginSlot(c, m.storedImage(c))
	if err := m.gate.Bind(c.Flow, c.slot); err != nil {
		m.markLost(c, reason.Refused, "gate: "+err.Error())
	}
	m.kernel.Destroy(c.Flow) // one that an earlier server's process has left
}

// forgetOutput begins the record of an unmodified server's output anew where the
// client has more of it than this engine has recorded.
func (m *Machine) forgetOutput(c *Conn) {
	off := c.outputOff(c.ackedEnd())
	if d := c.wire.digest; d != nil && d.end < off {
		c.wire.digest = newDigest(off, d.grain)
		if c.extra != nil && c.extra.roll != nil {
			c.extra.roll.check = check{verified: c.extra.roll.out}
		}
	}
}

// notReady reports whether it is too early to open a connection in Outage again: it is not
// synchronized, or half-open, or its log lacks input that only an earlier server has received. Other
// connections do not wait for it.
func (m *Machine) notReady(c *Conn) bool {
	return c.unsynced() || c.extra.halfOpen && !c.is(confirmed) || m.missesInput(c)
}

// reconnectLate opens a restored or half-open connection again that was not ready when its server
// began to listen.
func (m *Machine) reconnectLate(c *Conn) {
	if c.state != Outage || c.extra.restore == nil && !c.extra.halfOpen || m.notReady(c) {
		return
	}
	if svc := c.svc; svc.alive && svc.busy {
		m.lagging = true // it is opened when the others are done
	} else if svc.alive && !svc.outage && m.mayOpen(svc) {
		svc.inflight++
		m.reconnect(c)
	}
}

// ackedBy returns what a segment acknowledges for certain. The last number is doubtful until the new
// server has sent what it counts.
func (m *Machine) ackedBy(c *Conn, s *segment.Segment) uint32 {
	if !c.is(restored) {
		return s.Ack
	}
	sent := m.hasSent(c, m.slotOf(c))
	known := seqnum.Max(c.nxt, sent)
	if !c.is(finSent) && seqnum.Less(known, s.Ack) {
		c.set(finDoubtful) // an earlier server had sent more than was known, or its FIN
	}
	if !c.is(finDoubtful) || s.Ack == c.una && !c.is(unaUnknown) { // equality with a mere bound proves nothing
		return s.Ack
	}
	if c.state == Established && seqnum.LEQ(seqnum.Max(known, s.Ack), sent) {
		c.unset(finDoubtful)
		return s.Ack
	}
	return s.Ack - 1
}

// hasSent returns the end of what the present socket has sent for certain. The slot's number may count
// a FIN that the gate has held, like that of a crashed process.
func (m *Machine) hasSent(c *Conn, slot *gate.Slot) uint32 {
	sent := slot.SndNxt()
	if _, passed := slot.FIN(); passed {
		return sent
	}
	if c.wire != nil {
		if slot.Released() == gate.ReleasedCrashed {
			return sent - 1
		}
		return sent
	}
	if d := m.head(c).Output - c.unaOff; d > -1<<31 && d < 1<<31 { // below 0 while it sends what the client has
		sent = seqnum.Min(sent, c.una+uint32(d))
	}
	return sent
}

// feedsFINEarly reports whether the client's FIN may go to a server that has sent less than
// its predecessor, and makes no progress. How much of the output the client had when it
// closed is unknown for a restored connection, and is overestimated if the tap
// missed the first FIN; the server may send the rest only after the FIN.
func (m *Machine) feedsFINEarly(c *Conn) bool {
	return m.now-c.extra.roll.movedAt >= finEarlyAfter
}

const finEarlyAfter = 1e9 // ns

// widenRestored widens the bounds for a segment of a restored connection: the client
// may have more of an earlier server's output, or was advertised a larger window, than is known.
func (m *Machine) widenRestored(c *Conn, s *segment.Segment, b bounds) bounds {
	if !c.is(restored) {
		return b
	}
	if d := seqnum.Diff(s.Ack, b.sent); s.Flags.Has(segment.ACK) && d > 0 && uint32(d) <= c.maxWindow {
		b.sent = s.Ack
	}
	if x := c.extra; x != nil && x.restore != nil {
		b.edge = seqnum.Max(b.edge, x.restore.accept)
	}
	return b
}

// updateSndNxt takes SND.NXT from the client's ACK, if it was not known, when the segment was accepted.
func (m *Machine) updateSndNxt(c *Conn, s *segment.Segment) {
	m.noteEcho(c, s)
	if !c.is(restored) {
		return
	}
	if slot := m.slotOf(c); seqnum.Less(seqnum.Max(c.nxt, slot.SndNxt()), s.Ack) {
		c.nxt = s.Ack
		if c.state != Established { // else the slot's number is the new socket's
			slot.SetSndNxt(c.nxt)
		}
	}
	if c.wire != nil && c.state != Established { // else the output may still be on its way from the gate
		m.forgetOutput(c)
	}
	x := c.extra
	if x == nil || x.restore == nil {
		return
	}
	x.edge = seqnum.Max(x.edge, seqnum.Min(s.End(), x.restore.accept))
	x.restore.next = seqnum.Max(x.restore.next, s.End())
}

// missesInput reports whether the log of a restored connection to an unmodified server lacks bytes
// below the client's SND.NXT. The client retransmits them after its RTO, which is up
// to two minutes if it has retransmitted in vain for long (RFC 6298).
// The earlier server may have answered those bytes, so that the new one makes no progress
// without them. A server with a north side can wait for them itself.
func (m *Machine) missesInput(c *Conn) bool {
	r := c.extra.restore
	return r != nil && c.wire != nil && seqnum.Less(c.rcvNxt(), r.next) && m.now-r.since < missingInputMax
}

const missingInputMax = 150e9 // ns
