package rawiotest

import (
	"bytes"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// The ECN field of the TOS byte (RFC 3168, section 5).
const (
	ect0 = 2
	ce   = 3
)

// packet builds a segment with the present ACK, window and timestamps; what it
// carries needs no other ACK.
func (s *Socket) packet(flags segment.Flags, seq uint32) *Packet {
	p := &Packet{Priority: s.priority}
	p.Src, p.Dst, p.Seq, p.Flags = s.local, s.remote, seq, flags
	if s.timestamps {
		p.Options.HasTS, p.Options.TSVal, p.Options.TSEcr = true, s.tsNow(), s.tsRecent
	}
	if !flags.Has(segment.ACK) {
		return p
	}
	p.Ack = s.rcvNxt
	if s.echoCE && !flags.Any(segment.SYN|segment.RST) {
		p.Flags |= segment.ECE
	}
	if !flags.Has(segment.SYN) {
		p.Window = s.chooseWindow()
	}
	if s.sack && !flags.Any(segment.SYN|segment.RST) {
		blocks := s.blocks()
		limit := 4
		if s.timestamps {
			limit = 3
		}
		for _, b := range blocks[:min(len(blocks), limit)] {
			p.Options.SACK[p.Options.NSACK] = b
			p.Options.NSACK++
		}
	}
	s.ackNow = false
	s.quick = max(0, s.quick-1)
	s.delayed.Stop()
	return p
}

func (s *Socket) sendACK() {
	s.stack.config.Output(s.packet(segment.ACK, s.acceptableSeq()))
}

// acceptableSeq is tcp_acceptable_seq: snd_nxt unless the peer has shrunk its
// window below it.
func (s *Socket) acceptableSeq() uint32 {
	edge := s.sndUna + s.sndWnd
	if seqnum.Less(edge, s.sndNxt) && s.sndNxt-edge >= 1<<s.sndScale {
		return edge
	}
	return s.sndNxt
}

// end is the sequence number after all that was written, FIN included.
func (s *Socket) end() uint32 {
	n := s.sndUna + uint32(len(s.buf))
	if s.finQueued && !s.finAcked {
		n++
	}
	return n
}

// push sends what may be sent: first what was lost, then new data.
func (s *Socket) push() {
	switch s.state {
	case Established, CloseWait, FinWait1, Closing, LastAck:
	default:
		return
	}
	for s.pushLost() {
	}
	for s.rtxNext == s.rtxHigh && s.pushNew() {
	}
	s.armRetransmit()
}

// pushLost sends one segment again; one at a time, as Linux does after a loss.
func (s *Socket) pushLost() bool {
	for seqnum.Less(s.rtxNext, s.rtxHigh) {
		if b, inside, _ := s.sacked.holding(s.rtxNext); inside {
			s.rtxNext = seqnum.Min(b.Right, s.rtxHigh)
			continue
		}
		break
	}
	if s.rtxNext == s.rtxHigh || s.rtxNext != s.sndUna && int(s.rtxNext-s.sndUna) >= s.cwnd {
		return false
	}
	size := min(s.rtxHigh-s.rtxNext, uint32(s.mss))
	if b, _, above := s.sacked.holding(s.rtxNext); above {
		size = min(size, b.Left-s.rtxNext)
	}
	if edge := s.sndUna + s.sndWnd; seqnum.Less(s.rtxNext, edge) {
		size = min(size, edge-s.rtxNext)
	} else if s.rtxNext != s.sndUna {
		return false // the peer has shrunk its window
	}
	s.transmit(s.rtxNext, size)
	s.rtxNext += size
	return true
}

func (s *Socket) pushNew() bool {
	left := s.end() - s.sndNxt
	inFlight := s.sndNxt - s.sndUna
	edge := s.sndUna + s.sndWnd
	if left == 0 || int(inFlight) >= s.cwnd || seqnum.Less(edge, s.sndNxt) {
		return false
	}
	room := edge - s.sndNxt
	if room < min(left, uint32(s.mss)) {
		return false // a whole segment or nothing (tcp_snd_wnd_test)
	}
	size := min(left, room, uint32(s.mss*s.stack.config.GSO))
	if size < left && size > uint32(s.mss) {
		size -= size % uint32(s.mss)
	}
	s.transmit(s.sndNxt, size)
	if !s.sampling {
		s.sampling, s.sampleAt, s.sampleEnd = true, s.stack.clock.Now(), s.sndNxt+size
	}
	s.sndNxt += size
	s.rtxNext, s.rtxHigh = s.sndNxt, s.sndNxt
	return true
}

// transmit sends the sequence range [seq, seq+size), FIN included.
func (s *Socket) transmit(seq, size uint32) {
	from := int(seq - s.sndUna)
	to := min(from+int(size), len(s.buf))
	flags := segment.ACK
	if from < to && to == len(s.buf) {
		flags |= segment.PSH
	}
	if from+int(size) > len(s.buf) {
		flags |= segment.FIN
	}
	p := s.packet(flags, seq)
	if from < to {
		if s.stack.clock.Now()-s.lastData < s.stack.config.DelayedACK && s.rcvNxt != s.irs+1 {
			s.pingPong = true // a reply (tcp_event_data_sent)
		}
		p.Payload = bytes.Clone(s.buf[from:to])
		if s.ecn && seq == s.sndNxt { // new data only: RFC 3168, section 6.1.5
			p.TOS |= ect0
			if s.sayCWR {
				s.sayCWR = false
				p.Flags |= segment.CWR
			}
		}
	}
	s.stack.config.Output(p)
}
