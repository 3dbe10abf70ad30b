package rawiotest

import (
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

// CloseWrite is shutdown(SHUT_WR): a FIN follows what was written.
func (s *Socket) CloseWrite() {
	defer s.stack.enter()()
	s.closeWrite()
}

func (s *Socket) closeWrite() {
	switch s.state {
	case Established:
		s.state = FinWait1
	case CloseWait:
		s.state = LastAck
	default:
		return
	}
	s.finQueued = true
	s.push()
}

// Close is close(2): the process lets go of the socket (tcp_close).
func (s *Socket) Close() {
	defer s.stack.enter()()
	if s.owner != nil {
		s.owner.forget(s)
	}
	s.exit()
}

// Abort closes the connection by a RST (SO_LINGER with time 0).
func (s *Socket) Abort() {
	s.linger0 = true
	s.Close()
}

func (s *Socket) exit() {
	if s.orphan {
		return
	}
	if s.stack.config.Release != nil && s.state != Closed && s.state != SynSent {
		s.stack.config.Release(s)
	}
	s.orphan = true
	s.Notify = nil
	switch {
	case s.state == Closed:
	case s.state == SynSent || s.state == SynReceived:
		s.remove(ErrClosed)
	case len(s.queue) > 0 || s.linger0:
		// RFC 2525, section 2.17: the peer must learn that data was lost.
		s.abort(ErrClosed)
	default:
		s.closeWrite()
		if s.state == FinWait2 {
			s.wait(s.stack.config.FinTimeout)
		}
	}
}

// abort ends the socket, with a RST where the peer may still think that it
// lives (tcp_need_reset).
func (s *Socket) abort(err error) {
	switch s.state {
	case Established, CloseWait, FinWait1:
		s.sendReset()
	case FinWait2:
		if !s.orphan { // else it is a TIME_WAIT socket to the kernel
			s.sendReset()
		}
	case SynReceived:
		if s.parent == nil {
			s.sendReset()
		}
	}
	s.remove(err)
}

func (s *Socket) sendReset() {
	p := s.packet(segment.RST|segment.ACK, s.acceptableSeq())
	s.stack.config.Output(p)
}

// remove forgets the socket without a word to the peer.
func (s *Socket) remove(err error) {
	if s.state == Closed {
		return
	}
	s.state = Closed
	s.err = err
	s.buf, s.outOfOrder, s.sacked = nil, nil, nil
	for _, e := range []*Event{s.retransmit, s.delayed, s.keepalive, s.linger} {
		e.Stop()
	}
	key := endpoints{s.local, s.remote}
	if s.stack.sockets[key] == s {
		delete(s.stack.sockets, key)
	}
	s.notify()
}

// wait lets the socket linger in TIME_WAIT, or as an orphan in FIN_WAIT2.
func (s *Socket) wait(d time.Duration) {
	s.linger.Stop()
	s.linger = s.stack.clock.After(d, func() { s.remove(nil) })
}

func (s *Socket) timeWait() {
	s.state = TimeWait
	s.retransmit.Stop()
	s.keepalive.Stop()
	s.wait(s.stack.config.TimeWait)
	s.notify()
}
