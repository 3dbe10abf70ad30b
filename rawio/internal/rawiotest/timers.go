package rawiotest

import (
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Attempts before giving up: tcp_synack_retries, tcp_retries2 and the limit
// for orphans (tcp_orphan_retries).
const (
	synRetries    = 6
	synACKRetries = 5
	dataRetries   = 15
	orphanRetries = 8
)

// armRetransmit keeps the one timer of the sending side running as long as
// there is something to send again or a closed window to probe.
func (s *Socket) armRetransmit() {
	switch {
	case s.state == Closed || s.state == TimeWait:
		return
	case s.sndNxt == s.sndUna && s.end() == s.sndNxt && s.state != SynSent && s.state != SynReceived:
		s.retransmit.Stop()
		return
	case s.retransmit.Pending():
		return
	}
	s.retransmit = s.stack.clock.After(min(s.rto<<min(s.backoff, 12), maxRTO), func() {
		defer s.stack.enter()()
		s.retransmitTimeout()
	})
}

func (s *Socket) retransmitTimeout() {
	s.backoff++
	s.attempts++
	limit := dataRetries
	switch {
	case s.state == SynSent:
		limit = synRetries
	case s.state == SynReceived:
		limit = synACKRetries
	case s.orphan:
		limit = orphanRetries
	}
	if s.attempts > limit || s.parent != nil && s.parent.closed {
		s.remove(ErrTimeout)
		return
	}
	switch {
	case s.state == SynSent || s.state == SynReceived:
		s.sendSYN()
	case s.sndNxt == s.sndUna:
		s.probe()
	default:
		if _, inside, _ := s.sacked.holding(s.sndUna); inside {
			s.sacked = nil // the peer has dropped what it had (RFC 2018, section 8)
		}
		s.rtxNext, s.rtxHigh, s.recover = s.sndUna, s.sndNxt, s.sndUna
		s.cwnd = s.mss
		s.dupACKs, s.sampling = 0, false
		s.push()
	}
	s.armRetransmit()
}

// probe is tcp_write_wakeup: as much as fits a window smaller than a segment,
// else a segment that the peer must answer.
func (s *Socket) probe() {
	edge := s.sndUna + s.sndWnd
	if seqnum.Less(s.sndNxt, edge) {
		size := min(edge-s.sndNxt, uint32(s.mss), s.end()-s.sndNxt)
		s.transmit(s.sndNxt, size)
		s.sndNxt += size
		s.rtxNext, s.rtxHigh = s.sndNxt, s.sndNxt
		return
	}
	s.sendProbe()
}

// sendProbe sends an empty segment just below the window (tcp_xmit_probe_skb).
func (s *Socket) sendProbe() {
	s.stack.config.Output(s.packet(segment.ACK, s.sndUna-1))
}

// startKeepAlive counts the idle time from now on, if the process has asked for probes.
func (s *Socket) startKeepAlive() {
	s.keepalive.Stop()
	if s.ka.idle > 0 {
		s.keepalive = s.stack.clock.After(s.ka.idle, s.keepaliveTimeout)
	}
}

// keepaliveTimeout is tcp_keepalive_timer. In SYN_SENT it does nothing, and is not set
// again: the handshake does that (tcp_finish_connect).
func (s *Socket) keepaliveTimeout() {
	defer s.stack.enter()()
	if s.state == Closed || s.state == SynSent || s.state == TimeWait || s.state == FinWait2 && s.orphan {
		return
	}
	silent := s.stack.clock.Now() - s.lastIn
	next := s.ka.interval
	switch {
	case s.sndNxt != s.sndUna || s.end() != s.sndNxt: // another timer is at work
		next = s.ka.idle
	case silent < s.ka.idle:
		next = s.ka.idle - silent
	case s.ka.sent >= s.ka.count:
		s.sendReset()
		s.remove(ErrTimeout)
		return
	default:
		s.ka.sent++
		s.sendProbe()
	}
	s.keepalive = s.stack.clock.After(max(next, time.Millisecond), s.keepaliveTimeout)
}
