package rawiotest

import (
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Listener accepts connections.
type Listener struct {
	// Notify, if not nil, is called (by the clock) when a connection waits.
	Notify func()
	// Priority is inherited by accepted sockets.
	Priority uint32

	stack    *Stack
	process  *Process
	local    netip.AddrPort
	queue    []*Socket
	closed   bool
	notified bool
	overflow time.Duration // when a SYN cookie was sent last; 0: never
}

// Accept returns the next established connection, or nil if none waits.
func (l *Listener) Accept() *Socket { return l.AcceptBy(l.process) }

// AcceptBy is Accept in another process, which has inherited the listener.
func (l *Listener) AcceptBy(p *Process) *Socket {
	if l.closed || len(l.queue) == 0 {
		return nil
	}
	s := l.queue[0]
	l.queue = l.queue[1:]
	s.owner = p
	p.files = append(p.files, s)
	return s
}

// Close stops listening. Established connections that nobody has accepted are
// reset; half-open ones are forgotten, once their client speaks or their SYN-ACK is to be
// repeated (inet_csk_listen_stop, reqsk_timer_handler).
func (l *Listener) Close() {
	defer l.stack.enter()()
	l.process.forget(l)
	l.exit()
}

func (l *Listener) exit() {
	if l.closed {
		return
	}
	l.closed = true
	delete(l.stack.listeners, l.local)
	for _, s := range l.queue {
		s.abort(ErrClosed)
	}
	l.queue = nil
}

// input handles a segment for no connection.
func (l *Listener) input(p *Packet) {
	switch {
	case p.Flags.Has(segment.RST):
	case p.Flags.Has(segment.ACK):
		if l.mayBeCookie(p) {
			l.openByCookie(p)
			return
		}
		l.stack.refuse(p, l.Priority)
	case !p.Flags.Has(segment.SYN) || l.full():
	case l.wantsCookie():
		l.sendCookie(p)
	default:
		l.open(p, l.stack.isn())
	}
}

// full is sk_acceptq_is_full.
func (l *Listener) full() bool { return len(l.queue) > l.stack.config.Backlog }

// Room is how many more connections the queue takes.
func (l *Listener) Room() int { return l.stack.config.Backlog + 1 - len(l.queue) }

// halfOpen is the length of the queue of handshakes that are not done.
func (l *Listener) halfOpen() int {
	n := 0
	for _, s := range l.stack.sockets {
		if s.parent == l {
			n++
		}
	}
	return n
}

// open answers a SYN.
func (l *Listener) open(p *Packet, isn uint32) {
	s := l.stack.newSocket(p.Dst, p.Src, isn)
	s.parent = l
	s.priority = l.Priority
	s.state = SynReceived
	s.takeSYN(p)
	s.sendSYN()
	s.armRetransmit()
}

// inputRequest handles a segment for a half-open connection (tcp_check_req).
func (s *Socket) inputRequest(p *Packet) {
	old := s.timestamps && p.Options.HasTS && seqnum.Less(p.Options.TSVal, s.tsRecent)
	if p.Flags&(segment.SYN|segment.ACK|segment.RST) == segment.SYN && p.Seq == s.irs && !old {
		if s.mayAnswer(p) { // the client has not got the SYN-ACK
			s.sendSYN()
		}
		return
	}
	if p.Flags.Has(segment.ACK) && p.Ack != s.iss+1 {
		if s.parent.mayBeCookie(p) {
			return // there can't be two sockets of one flow, and this one was first (tcp_v4_syn_recv_sock)
		}
		s.stack.refuse(p, s.priority)
		return
	}
	edge := s.rcvNxt + s.rcvWnd
	if echo := p.Options.TSEcr; s.stack.config.StrictEcho && s.timestamps && p.Options.HasTS && echo != 0 && (seqnum.Less(echo, s.tsFirst) || seqnum.Less(s.tsLast, echo)) {
		old = true
	}
	if old || !inWindow(p.Seq, p.End(), s.rcvNxt, edge) {
		if !p.Flags.Has(segment.RST) && s.mayAnswer(p) {
			s.sendACK()
		}
		return
	}
	if s.timestamps && p.Options.HasTS && seqnum.LEQ(p.Seq, s.rcvNxt) {
		s.tsRecent = p.Options.TSVal
	}
	if p.Flags.Any(segment.RST | segment.SYN) {
		s.stack.refuse(p, s.priority) // answers the SYN only
		s.remove(ErrReset)
		return
	}
	if !p.Flags.Has(segment.ACK) {
		return
	}
	l := s.parent
	if s.attempts < s.stack.config.DeferAccept && p.End() == s.irs+1 {
		return
	}
	if l.full() {
		return // the client will retransmit
	}
	l.take(s, p)
}

// take puts a connection in the queue whose handshake p completes.
func (l *Listener) take(s *Socket, p *Packet) {
	s.parent = nil
	s.establish(p)
	l.queue = append(l.queue, s)
	if l.Notify != nil && !l.notified {
		l.notified = true
		l.stack.clock.After(0, func() {
			l.notified = false
			if !l.closed {
				l.Notify()
			}
		})
	}
	s.inputSynchronized(p)
}

// inWindow is tcp_in_window.
func inWindow(seq, end, left, right uint32) bool {
	if seq == left {
		return true
	}
	if seqnum.Less(left, end) && seqnum.Less(seq, right) {
		return true
	}
	return seq == right && seq == end
}
