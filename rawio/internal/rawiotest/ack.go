package rawiotest

import (
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

const (
	minRTO = 200 * time.Millisecond
	maxRTO = 120 * time.Second
)

// takeACK is tcp_ack. It reports whether the rest of the segment counts.
func (s *Socket) takeACK(p *Packet) bool {
	// RFC 5961, section 5.2: snd_una - max_window <= ack <= snd_nxt. Linux also
	// refuses ACKs of bytes that this socket has never sent (bytes_acked).
	oldest := s.sndUna - uint32(min(uint64(s.maxWnd), s.bytesAcked))
	if seqnum.Less(s.sndNxt, p.Ack) || seqnum.Less(p.Ack, oldest) {
		s.challenge()
		return false
	}
	if s.state == SynReceived { // simultaneous open
		if p.Ack != s.iss+1 {
			return false
		}
		s.establish(p)
	}
	if s.sack {
		for _, b := range p.Options.Blocks() {
			if seqnum.Less(b.Left, b.Right) && !seqnum.Less(b.Left, s.sndUna) && seqnum.LEQ(b.Right, s.sndNxt) {
				s.sacked.add(b.Left, b.Right)
			}
		}
	}
	if seqnum.Less(p.Ack, s.sndUna) {
		return true // an old ACK; its data may be new
	}
	if s.ecn && p.Flags.Has(segment.ECE) && !seqnum.Less(p.Ack, s.reduced) {
		s.cwnd = max(s.cwnd/2, 2*s.mss)
		s.reduced, s.sayCWR = s.sndNxt, true
	}
	window := uint32(p.Window) << s.sndScale
	acked := p.Ack - s.sndUna
	changed := window != s.sndWnd
	if acked > 0 || seqnum.Less(s.sndWl1, p.Seq) || s.sndWl1 == p.Seq && (window > s.sndWnd || window == 0) {
		s.sndWnd, s.sndWl1 = window, p.Seq
		s.maxWnd = max(s.maxWnd, window)
	}
	if s.sndNxt == s.sndUna {
		s.attempts = 0
		if changed { // the end of a zero window (tcp_ack_probe)
			s.backoff = 0
			s.retransmit.Stop()
		}
	}
	switch {
	case acked > 0:
		s.advance(acked, p)
	case s.sndNxt != s.sndUna && p.Len() == 0 && !changed && (!s.sack || p.Options.NSACK > 0):
		// With SACK an ACK without a block is no sign of a loss (tcp_fastretrans_alert).
		s.dupACKs++
		if s.dupACKs == 3 && s.rtxNext == s.rtxHigh { // RFC 5681, section 3.2
			s.recover = s.sndNxt
			s.rtxNext, s.rtxHigh = s.sndUna, seqnum.Min(s.recover, s.sndUna+uint32(s.mss))
			s.cwnd = max(s.cwnd/2, 2*s.mss)
		}
	}
	return true
}

func (s *Socket) advance(acked uint32, p *Packet) {
	n := min(int(acked), len(s.buf))
	s.buf = s.buf[n:]
	if int(acked) > n {
		s.finAcked = true
	}
	s.bytesAcked += uint64(acked)
	s.sndUna = p.Ack
	s.rtxNext = seqnum.Max(s.rtxNext, s.sndUna)
	s.rtxHigh = seqnum.Max(s.rtxHigh, s.sndUna)
	s.recover = seqnum.Max(s.recover, s.sndUna)
	if s.rtxNext == s.rtxHigh && s.recover != s.sndUna { // a partial ACK: RFC 6582, section 3.2
		s.rtxNext, s.rtxHigh = s.sndUna, seqnum.Min(s.recover, s.sndUna+uint32(s.mss))
	}
	s.sacked.drop(s.sndUna)
	s.dupACKs = 0
	s.cwnd = min(s.cwnd+n, 1<<20)
	now := s.stack.clock.Now()
	switch {
	case s.timestamps && p.Options.HasTS && p.Options.TSEcr != 0:
		// What a socket before it has sent says nothing.
		if rtt := time.Duration(s.tsNow()-p.Options.TSEcr) * time.Millisecond; rtt <= now-s.born {
			s.measure(rtt)
		}
	case s.sampling && !seqnum.Less(s.sndUna, s.sampleEnd):
		s.measure(now - s.sampleAt)
	}
	if !seqnum.Less(s.sndUna, s.sampleEnd) {
		s.sampling = false
	}
	s.backoff, s.attempts = 0, 0
	s.retransmit.Stop()
	s.notify()
}

// measure takes a round-trip time into account (RFC 6298).
func (s *Socket) measure(rtt time.Duration) {
	rtt = max(rtt, time.Millisecond)
	if s.srtt == 0 {
		s.srtt, s.rttvar = rtt, rtt/2
	} else {
		s.rttvar = (3*s.rttvar + (s.srtt - rtt).Abs()) / 4
		s.srtt = (7*s.srtt + rtt) / 8
	}
	s.rto = min(max(s.srtt+max(4*s.rttvar, minRTO), minRTO), maxRTO)
}

// tsNow is the timestamp clock: milliseconds from an offset of the connection.
func (s *Socket) tsNow() uint32 {
	return s.tsOffset + uint32(s.stack.clock.Now()/time.Millisecond)
}

// ranges are disjoint SACKed ranges in ascending order.
type ranges []segment.Block

func (r *ranges) add(left, right uint32) {
	out := (*r)[:0:0]
	for _, b := range *r {
		switch {
		case seqnum.Less(b.Right, left) || seqnum.Less(right, b.Left):
			out = append(out, b)
		default:
			left, right = seqnum.Min(left, b.Left), seqnum.Max(right, b.Right)
		}
	}
	i := 0
	for i < len(out) && seqnum.Less(out[i].Left, left) {
		i++
	}
	out = append(out, segment.Block{})
	copy(out[i+1:], out[i:])
	out[i] = segment.Block{Left: left, Right: right}
	*r = out
}

// drop forgets what lies below una.
func (r *ranges) drop(una uint32) {
	for len(*r) > 0 && seqnum.LEQ((*r)[0].Right, una) {
		*r = (*r)[1:]
	}
	if len(*r) > 0 && seqnum.Less((*r)[0].Left, una) {
		(*r)[0].Left = una
	}
}

// holding returns the range that holds seq, and otherwise the next one above.
func (r ranges) holding(seq uint32) (b segment.Block, inside, above bool) {
	for _, b := range r {
		if seqnum.Less(seq, b.Right) {
			return b, !seqnum.Less(seq, b.Left), seqnum.Less(seq, b.Left)
		}
	}
	return segment.Block{}, false, false
}
