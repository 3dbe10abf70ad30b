package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// verdict is what the kernel's TCP would make of a segment.
type verdict uint8

const (
	accept    verdict = iota
	ignore            // dropped without an answer
	refuse            // dropped; a living TCP answers with an ACK
	challenge         // RFC 5961: must be answered by a challenge ACK
	resets            // a valid RST
)

// bounds are the numbers against which a segment is judged.
type bounds struct {
	ack  uint32 // lowest receive number: what was acknowledged to the client
	next uint32 // what a RST may name besides the core's own next number
	edge uint32 // right window edge that was advertised to the client
	sent uint32 // SND.NXT: the end of what was sent to the client
}

// judge mirrors the checks of RFC 9293 section 3.10.7.4, RFC 7323 section 5.3
// (PAWS) and RFC 5961 on a segment of a synchronized connection, in the order
// in which Linux makes them. What the kernel refuses must not be logged.
func (m *Machine) judge(c *Conn, s *segment.Segment, b bounds) verdict {
	rst := s.Flags.Has(segment.RST)
	if rst && (s.Seq == c.rcvNxt() || s.Seq == b.next) {
		return resets // even where PAWS or a closed window would refuse the segment
	}
	switch {
	case m.stale(c, s) && !rst,
		seqnum.Less(s.End(), b.ack),
		seqnum.Less(b.edge, s.Seq):
		if rst {
			return ignore
		}
		return refuse
	case rst || s.Flags.Has(segment.SYN):
		return challenge
	case !s.Flags.Has(segment.ACK):
		return ignore
	case seqnum.Less(b.sent, s.Ack): // acknowledges what was never sent
		return challenge
	case seqnum.Less(s.Ack, c.una-c.maxWindow): // RFC 5961 section 5
		return challenge
	case !c.is(confirmed|restored|unaUnknown) && seqnum.Less(s.Ack, c.iss+1): // the third ACK is exact (tcp_check_req)
		return challenge
	}
	return accept
}

// pawsWrap is the age at which TS.Recent becomes invalid, in seconds: a
// timestamp clock that counts microseconds has wrapped by then (Linux: TCP_PAWS_WRAP).
const pawsWrap = 1<<31/1000_000 - 1

// stale is the test of PAWS (RFC 7323 section 5.3): the timestamp is older than TS.Recent
// by more than the one tick that Linux tolerates.
func (m *Machine) stale(c *Conn, s *segment.Segment) bool {
	return c.server.ts() && s.Options.HasTS &&
		seqnum.Diff(c.peerTS, s.Options.TSVal) > 1 && m.seconds()-c.tsAt < pawsWrap
}

// seconds is the time as Conn.tsAt keeps it.
func (m *Machine) seconds() uint32 { return uint32(m.now / 1e9) }

// learn takes acknowledgment, window and timestamp from an acceptable segment. ack is the highest
// number that was acknowledged to the client.
func (m *Machine) learn(c *Conn, s *segment.Segment, ack uint32) {
	m.confirm(c)
	if len(c.svc.unanswered) > 0 {
		m.reportTrialUnanswered(c)
	}
	if m.unwatched != "" {
		m.reportUnwatched(c)
	}
	una := m.ackedBy(c, s)
	d := seqnum.Diff(una, c.una)
	if c.is(unaUnknown) {
		m.learnUna(c, una)
		d = 0
	}
	if d > 0 {
		c.una, c.unaOff = una, c.unaOff+int64(d)
		if c.unaOff>>noteEvery != (c.unaOff-int64(d))>>noteEvery {
			m.note(c)
		}
		if c.wire != nil && c.wire.digest != nil {
			c.wire.digest.acknowledged(c.unaOff)
		}
	}
	if d >= 0 {
		c.peerWindow = s.Window
		c.maxWindow = max(c.maxWindow, uint32(s.Window)<<c.client.wscale)
	}
	// RFC 7323 section 4.3: only a segment that begins at or before the last ACK
	// number updates TS.Recent.
	if c.server.ts() && s.Options.HasTS && seqnum.LEQ(s.Seq, ack) &&
		(seqnum.LEQ(c.peerTS, s.Options.TSVal) || m.seconds()-c.tsAt >= pawsWrap) {
		c.peerTS, c.tsAt = s.Options.TSVal, m.seconds()
		if seqnum.LEQ(c.retransmitTS, c.peerTS) {
			c.retransmitTS = 0
		}
	}
	if c.is(finSent) && seqnum.LEQ(c.finEnd, c.una) {
		c.set(finAcked)
		m.watch(c) // see noteFIN
	}
}

// noteRetransmitTS notes the timestamp of a segment that is refused only because the log
// has its bytes already, if the ACK of them may not have reached the client.
func (m *Machine) noteRetransmitTS(c *Conn, s *segment.Segment, b bounds) {
	b.ack = s.Seq
	if c.server.ts() && s.Options.HasTS && s.Len() > 0 && seqnum.LEQ(s.Seq, c.stableSeq()) && m.judge(c, s, b) == accept &&
		(c.retransmitTS == 0 || seqnum.Less(c.retransmitTS, s.Options.TSVal)) {
		c.retransmitTS = s.Options.TSVal
	}
}
