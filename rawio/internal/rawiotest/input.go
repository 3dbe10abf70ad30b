package rawiotest

import (
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// challengeInterval is tcp_invalid_ratelimit.
const challengeInterval = 500 * time.Millisecond

func (s *Socket) input(p *Packet) {
	switch {
	case s.state == SynSent:
		s.inputSynSent(p)
	case s.state == SynReceived && s.parent != nil:
		s.inputRequest(p)
	case s.state == FinWait2 && s.orphan:
		s.inputHalfClosedOrphan(p)
	case s.state == TimeWait:
		s.inputTimeWait(p)
	default:
		s.inputSynchronized(p)
	}
}

// inputSynchronized handles a segment of an existing connection
// (tcp_rcv_established, tcp_rcv_state_process; RFC 9293, section 3.10.7.4).
func (s *Socket) inputSynchronized(p *Packet) {
	s.lastIn = s.stack.clock.Now()
	s.ka.sent = 0
	if !s.validate(p) || !p.Flags.Has(segment.ACK) {
		return
	}
	if s.timestamps && p.Options.HasTS && seqnum.LEQ(p.Seq, s.rcvWup) &&
		!seqnum.Less(p.Options.TSVal, s.tsRecent) {
		s.tsRecent = p.Options.TSVal
	}
	if !s.takeACK(p) {
		return
	}
	if s.finAcked {
		switch s.state {
		case FinWait1:
			s.state = FinWait2
			if s.orphan {
				s.wait(s.stack.config.FinTimeout)
			}
			s.notify()
		case Closing:
			s.timeWait()
		case LastAck:
			s.remove(nil)
			return
		}
	}
	if s.state != TimeWait && !s.takeData(p) {
		return
	}
	s.push()
	s.acknowledge()
}

// validate is tcp_validate_incoming: PAWS, sequence, RST, SYN.
func (s *Socket) validate(p *Packet) bool {
	rst := p.Flags.Has(segment.RST)
	if s.timestamps && p.Options.HasTS && seqnum.Diff(s.tsRecent, p.Options.TSVal) > 1 && !rst {
		if s.mayAnswer(p) {
			s.sendACK()
		}
		return false
	}
	if seqnum.Less(p.End(), s.rcvWup) || seqnum.Less(s.rcvNxt+s.window(), p.Seq) {
		switch {
		case rst:
		case p.Flags.Has(segment.SYN):
			s.challenge()
		case s.mayAnswer(p): // tcp_send_dupack
			if p.Len() > 0 && seqnum.Less(p.Seq, s.rcvNxt) {
				s.reportDuplicate(p.Seq, seqnum.Min(p.End(), s.rcvNxt))
			}
			s.sendACK()
		}
		return false
	}
	if rst {
		if p.Seq != s.rcvNxt {
			s.challenge()
			return false
		}
		err := ErrReset
		if s.state == SynReceived {
			err = ErrRefused
		}
		s.remove(err) // what is queued can still be read
		return false
	}
	if p.Flags.Has(segment.SYN) {
		s.challenge()
		return false
	}
	return true
}

// mayAnswer limits ACKs in reply to segments that are not acceptable; those
// with data cannot be part of a loop of ACKs (tcp_oow_rate_limited).
func (s *Socket) mayAnswer(p *Packet) bool {
	if p.Len() > 0 && !p.Flags.Has(segment.SYN) {
		return true
	}
	now := s.stack.clock.Now()
	if s.everOOW && now-s.lastOOW < challengeInterval {
		return false
	}
	s.lastOOW, s.everOOW = now, true
	return true
}

func (s *Socket) challenge() {
	if s.mayAnswer(&Packet{}) {
		s.sendACK()
	}
}

// inputHalfClosedOrphan handles a segment for a socket without a process whose
// FIN is acknowledged: to the kernel a TIME_WAIT socket already, of the
// substate FIN_WAIT2 (tcp_timewait_state_process).
func (s *Socket) inputHalfClosedOrphan(p *Packet) {
	old := s.timestamps && p.Options.HasTS && seqnum.Less(p.Options.TSVal, s.tsRecent)
	switch {
	case old || !inWindow(p.Seq, p.End(), s.rcvNxt, s.rcvNxt+s.window()):
		if s.mayAnswer(p) {
			s.sendACK()
		}
	case p.Flags.Has(segment.RST):
		s.remove(nil)
	case p.Flags.Has(segment.SYN):
		s.stack.refuse(p, s.priority)
		s.remove(ErrReset)
	case !p.Flags.Has(segment.ACK) || p.Len() == 0 || !seqnum.Less(s.rcvNxt, p.End()):
	case !p.Flags.Has(segment.FIN) || p.End() != s.rcvNxt+1:
		s.stack.refuse(p, s.priority) // nobody will read this
		s.remove(ErrReset)
	default:
		s.rcvNxt++
		s.finIn = true
		s.timeWait()
		s.sendACK()
	}
}

// inputTimeWait is tcp_timewait_state_process.
func (s *Socket) inputTimeWait(p *Packet) {
	st := s.stack
	old := s.timestamps && p.Options.HasTS && seqnum.Less(p.Options.TSVal, s.tsRecent)
	newer := s.timestamps && p.Options.HasTS && seqnum.Less(s.tsRecent, p.Options.TSVal)
	const kind = segment.SYN | segment.RST | segment.ACK
	switch {
	case p.Flags.Has(segment.RST):
		if !old && p.Seq == s.rcvNxt {
			s.remove(nil)
		}
	case p.Flags&kind == segment.SYN && !old && (seqnum.Less(s.rcvNxt, p.Seq) || newer):
		s.remove(nil)
		if l := st.listener(p.Dst); l != nil {
			l.open(p, s.sndNxt+65535+2)
			return
		}
		st.refuse(p, 0)
	default:
		if p.Flags.Has(segment.ACK) || old {
			s.wait(st.config.TimeWait)
		}
		quiet := !old && p.Seq == s.rcvNxt && p.Len() == 0
		if !quiet && s.mayAnswer(p) {
			s.sendACK()
		}
	}
}
