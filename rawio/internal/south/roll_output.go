package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// rolled takes a packet of the restarted server that the gate has captured and
// held.
func (m *Machine) rolled(c *Conn, s *segment.Segment) {
	r := c.extra.roll
	if m.now < r.finIgnoredUntil { // the data is the same from any socket
		s.Flags &^= segment.FIN
	}
	if m.ofOldSocket(c, s) {
		return
	}
	if s.Flags.Has(segment.URG) { // urgent data cannot be forwarded
		m.reset(c, reason.Urgent.With("by the restarted server"))
		return
	}
	m.touch(c)
	if !s.Flags.Any(segment.SYN | segment.RST) {
		r.opened = true
	}
	if s.Options.HasTS {
		r.tsval = seqnum.Max(r.tsval, s.Options.TSVal)
		c.extra.tsval = seqnum.Max(c.extra.tsval, r.tsval+r.tsDelta) // the client will echo it to the kernel
	}
	switch {
	case s.Flags.Has(segment.SYN):
		r.ackDue = true // it has missed the core's ACK
		return
	case s.Flags.Has(segment.RST):
		switch released := m.slotOf(c).Released(); {
		case released == gate.ReleasedNo:
			m.reopenUnaccepted(c)
		case released == gate.ReleasedCrashed: // Crashed begins anew
		case m.outputDone(c):
			m.Stats.Closed++
			m.report(ConnClosed, c, "reset by the server")
			m.resetClient(c, "reset by the server")
		default:
			m.mismatch(c, "the restarted server has reset the connection, its predecessor had not")
		}
		return
	}
	m.inputAcked(c, s)
	off := r.out + int64(seqnum.Diff(s.Seq+r.delta, c.outputSeq(r.out)))
	end := off + int64(len(s.Payload))
	switch fin := s.Flags.Has(segment.FIN); {
	case len(s.Payload) == 0 && !fin:
		if off < r.outAcked || off > r.edgeOut {
			r.ackDue = true
		}
		return
	case off > r.out, end < r.out, end == r.out && !fin:
		r.ackDue = true // a gap, or a retransmission
		m.repeated(c, off, s.Payload)
		return
	}
	r.ackDue = true
	if !m.consume(c, s.Payload[r.out-off:]) {
		return
	}
	if s.Flags.Has(segment.FIN) && r.out == end && m.slotOf(c).Released() != gate.ReleasedCrashed {
		r.fin, r.movedAt = end, m.now
		if d := c.wire.digest; d != nil && d.loose && d.end == end+1 {
			d.base, d.end = end, end // the gate had counted a FIN that it held
		}
	}
}

// ofOldSocket reports whether a captured packet is not of the present roll-forward's
// socket: it acknowledges what was not sent to that, lies outside the window that it was offered,
// or has another timestamp clock. A previous socket may have sent it at its end.
func (m *Machine) ofOldSocket(c *Conn, s *segment.Segment) bool {
	r := c.extra.roll
	if o := &s.Options; o.HasTS {
		// The clock has at most one tick per microsecond (tcp_usec_ts), and runs also while the core
		// stands still.
		elapsed := (m.kernel.Now()-r.tsSince)/1e3 + tsSlack
		if d := int64(seqnum.Diff(o.TSVal, r.tsFirst)); d < 0 || d > elapsed && elapsed < 1<<31 {
			return true
		}
	}
	off := r.out + int64(seqnum.Diff(s.Seq+r.delta, c.outputSeq(r.out)))
	if off < c.start().Out-1 || off > r.edgeOut+1 {
		return true
	}
	return s.Flags.Has(segment.ACK) && seqnum.Unwrap(s.Ack, c.irs+1, r.acked) > r.most
}

// tsSlack is by how much the TSval of a SYN-ACK may be behind, in ticks: that of a SYN cookie is, and
// the SYN-ACK may have waited in a queue.
const tsSlack = 1e6

// repeated takes a retransmission of the server. The part that was sent to the client may have been
// lost, and only the server has a retransmission timer for it.
func (m *Machine) repeated(c *Conn, off int64, p []byte) {
	end := c.extra.roll.out
	if list := c.extra.roll.pending; len(list) > 0 {
		end = list[0].off
	}
	if n := min(int64(len(p)), end-off); n > 0 {
		m.forwardOutput(c, off, p[:n])
	}
}

// consume takes the next bytes of output, and reports whether they agree with what
// the predecessor sent, as far as that is known.
func (m *Machine) consume(c *Conn, p []byte) bool {
	r, w := c.extra.roll, c.wire
	if len(p) == 0 {
		return true
	}
	off := r.out
	r.out, r.movedAt = off+int64(len(p)), m.now
	m.Stats.Rolled += uint64(len(p))
	if w.digest != nil {
		if bad, ok := r.check.add(w.digest, off, p); !ok {
			m.mismatch(c, fmt.Sprintf("the output of the restarted server differs from what the client was sent within the %d bytes before byte %d",
				bad-max(r.check.verified, c.start().Out), bad))
			return false
		}
	}
	if skip := c.outputOff(c.ackedEnd()) - off; skip < int64(len(p)) {
		skip = max(skip, 0)
		r.pending = append(r.pending, piece{off + skip, append([]byte(nil), p[skip:]...)})
	}
	return true
}

// forwardPending sends the client the server's output beyond una, as far as
// it is verified to be what the predecessor had sent there.
func (m *Machine) forwardPending(c *Conn) {
	r, d := c.extra.roll, c.wire.digest
	for len(r.pending) > 0 {
		q := &r.pending[0]
		n, fresh := int64(len(q.p)), true
		if d != nil && r.check.verified < d.end {
			n, fresh = min(n, r.check.verified-q.off), false
		}
		if n <= 0 {
			return // not verified yet
		}
		m.forwardOutput(c, q.off, q.p[:n])
		if d != nil && fresh {
			r.check.verified = d.end // new output is not compared
		}
		if q.off, q.p = q.off+n, q.p[n:]; len(q.p) == 0 {
			r.pending = r.pending[1:]
		}
	}
	r.pending = nil
}

// forwardOutput sends output to the client, in segments of the path's size,
// up to the client's right window edge; the kernel will retransmit the rest.
func (m *Machine) forwardOutput(c *Conn, off int64, p []byte) {
	if d := c.wire.digest; d != nil {
		d.add(off, p)
	}
	slot := m.slotOf(c)
	if skip := c.outputOff(c.ackedEnd()) - off; skip > 0 { // acknowledged meanwhile
		if skip >= int64(len(p)) {
			return
		}
		off, p = off+skip, p[skip:]
	}
	p = p[:min(int64(len(p)), max(c.clientWindow()-off, 0))]
	mss := int(max(c.client.mss, defaultMSS)) - 12
	for len(p) > 0 {
		n := min(len(p), mss)
		s := c.ackSegment(c.stableSeq(), c.extra.edge)
		s.Seq, s.Flags, s.Payload = c.outputSeq(off), segment.ACK, p[:n]
		if n == len(p) {
			s.Flags |= segment.PSH
		}
		s.Options.NSACK = 0
		s.Options.TSVal, s.Options.TSEcr = c.extra.tsval, c.peerTS
		if c.state == Established {
			s = m.liveSegment(c, s, slot)
		}
		c.acked = seqnum.Max(c.acked, s.Ack)
		m.trace(c, s.Ack)
		m.noteProbe(c)
		m.net.ToClient(s)
		off, p = off+int64(n), p[n:]
		c.nxt = seqnum.Max(c.nxt, s.Seq+uint32(n))
	}
}

// liveSegment gives a segment the ACK number, window and timestamps of a live connection. It does not
// acknowledge bytes that the kernel lacks: the client has to retransmit them.
func (m *Machine) liveSegment(c *Conn, s *segment.Segment, slot *gate.Slot) *segment.Segment {
	s.Ack = seqnum.Min(s.Ack, slot.Ack())
	s.Window = uint16(min(uint32(max(seqnum.Diff(slot.Edge(), s.Ack), 0))>>c.server.wscale, 65535))
	s.Options.TSVal, s.Options.TSEcr = slot.TSVal(), c.tsRecent(slot)
	return s
}

// capturedBeforeLive takes a packet that the gate had captured before the connection became
// live and that is delivered after. To the kernel it has left.
func (m *Machine) capturedBeforeLive(c *Conn, s *segment.Segment) {
	slot := m.slotOf(c)
	if s.Flags.Any(segment.SYN | segment.RST) {
		return
	}
	if s.Flags.Has(segment.URG) {
		m.reset(c, reason.Urgent.With("by the restarted server"))
		return
	}
	seq := s.Seq + slot.Delta()
	end := seq + uint32(len(s.Payload))
	if seqnum.Less(slot.SndNxt(), end) {
		slot.SetSndNxt(end)
	}
	if len(s.Payload) > 0 && seqnum.Less(c.una, end) {
		c.ensureExtra()
		m.forwardOutput(c, c.outputOff(seq), s.Payload)
	}
	if s.Flags.Has(segment.FIN) && !c.is(finSent) {
		c.ensureExtra()
		m.forwardFIN(c, c.outputOff(end))
	}
}
