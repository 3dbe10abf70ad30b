package rawiotest

import (
	"io"
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

// State is a state of RFC 9293, section 3.3.2. A listener is not a socket here.
type State uint8

// The states of a socket.
const (
	Closed State = iota
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
)

func (s State) String() string {
	return [...]string{"CLOSED", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
		"CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"}[s]
}

// Socket is one end of a connection. After its process has closed it, or died,
// it lives on as an orphan until the protocol is done.
type Socket struct {
	// Notify, if not nil, is called (by the clock) after anything has changed
	// that Recv, Send, State or Err would show.
	Notify func()

	stack         *Stack
	id            uint64
	local, remote netip.AddrPort
	state         State
	owner         *Process
	parent        *Listener // of a half-open connection
	orphan        bool      // no process holds it
	linger0       bool
	priority      uint32
	err           error
	notified      bool

	// What was negotiated.
	mss                int
	scaling            bool
	sndScale, rcvScale uint8
	timestamps, sack   bool
	ecn                bool
	tsOffset, tsRecent uint32
	tsFirst, tsLast    uint32 // of the SYN-ACKs that were sent

	// Sending. buf holds the bytes from sndUna on.
	iss, sndUna, sndNxt uint32
	sndWnd, maxWnd      uint32
	bytesAcked          uint64
	sndWl1              uint32
	buf                 []byte
	reduced             uint32 // no new reduction by ECE until this is acknowledged
	sayCWR              bool   // the next new data tells of the reduction
	finQueued, finAcked bool
	cwnd                int
	rtxNext, rtxHigh    uint32 // what is still to be sent again: [rtxNext, rtxHigh)
	recover             uint32 // end of what was sent when a loss was seen; sndUna: none is mended (RFC 6582)
	sacked              ranges
	dupACKs             int
	srtt, rttvar, rto   time.Duration
	backoff             int // timeouts since the last progress
	attempts            int // the same, but an answer to a window probe clears it
	sampleAt            time.Duration
	sampleEnd           uint32
	sampling            bool

	// Receiving.
	irs, rcvNxt, rcvWup uint32
	rcvWnd              uint32
	queue               []byte
	outOfOrder          []piece
	reported            ranges        // what SACK reports, newest first
	duplicate           segment.Block // what D-SACK reports next (RFC 2883)
	finIn               bool
	echoCE              bool // until the peer has reduced its window
	ackNow              bool
	quick               int  // ACKs that are sent at once before delaying begins
	pingPong            bool // data flows both ways: ACKs are better delayed
	lastData            time.Duration
	lastOOW             time.Duration // of the last challenge ACK
	everOOW             bool
	lastIn              time.Duration
	born                time.Duration

	retransmit, delayed, keepalive, linger *Event
	ka                                     struct {
		idle, interval time.Duration
		count, sent    int
	}
}

func (st *Stack) newSocket(local, remote netip.AddrPort, iss uint32) *Socket {
	st.ids++
	s := &Socket{
		stack: st, id: st.ids, local: local, remote: remote,
		iss: iss, sndUna: iss, sndNxt: iss, rtxNext: iss, rtxHigh: iss, recover: iss,
		mss: 536, rto: time.Second, lastIn: st.clock.Now(), born: st.clock.Now(),
		tsOffset: st.rand.Uint32(), quick: quickACKs,
	}
	s.rcvWnd = uint32(min(st.config.ReceiveBuffer, 65535))
	st.sockets[endpoints{local, remote}] = s
	return s
}

// LocalAddr, RemoteAddr, State and Err say what the socket is. Err is nil as
// long as no reset, refusal or timeout has ended the connection.
func (s *Socket) LocalAddr() netip.AddrPort  { return s.local }
func (s *Socket) RemoteAddr() netip.AddrPort { return s.remote }
func (s *Socket) State() State               { return s.state }
func (s *Socket) Err() error                 { return s.err }

// Orphan reports whether no process holds the socket any more.
func (s *Socket) Orphan() bool { return s.orphan }

// SetPriority is SO_PRIORITY: every packet from now on carries it.
func (s *Socket) SetPriority(p uint32) { s.priority = p }

// SetLinger0 makes Close, and the death of the process, abort the connection.
func (s *Socket) SetLinger0(on bool) { s.linger0 = on }

// SetKeepAlive probes a silent peer after idle, then each interval, and gives
// up after count probes without an answer. An idle of 0 turns it off.
func (s *Socket) SetKeepAlive(idle, interval time.Duration, count int) {
	s.ka.idle, s.ka.interval, s.ka.count, s.ka.sent = idle, interval, count, 0
	s.startKeepAlive()
}

// Readable returns the number of bytes that Recv would deliver.
func (s *Socket) Readable() int { return len(s.queue) }

// Recv reads in-order bytes: io.EOF after the peer's FIN, ErrWouldBlock if
// there is nothing yet.
func (s *Socket) Recv(p []byte) (int, error) {
	defer s.stack.enter()()
	if s.orphan {
		return 0, ErrClosed
	}
	if len(s.queue) == 0 {
		switch {
		case s.err != nil:
			return 0, s.err
		case s.finIn:
			return 0, io.EOF
		case s.state == Closed:
			return 0, ErrClosed
		}
		return 0, ErrWouldBlock
	}
	n := copy(p, s.queue)
	s.queue = s.queue[n:]
	s.windowMayOpen()
	return n, nil
}

// Send queues bytes, as many as the send buffer has room for; ErrWouldBlock if
// there is none.
func (s *Socket) Send(p []byte) (int, error) {
	defer s.stack.enter()()
	switch {
	case s.orphan || s.finQueued:
		return 0, ErrClosed
	case s.err != nil:
		return 0, s.err
	case s.state == Closed:
		return 0, ErrClosed
	case s.state == SynSent || s.state == SynReceived:
		return 0, ErrWouldBlock
	}
	n := min(len(p), s.stack.config.SendBuffer-len(s.buf))
	if n <= 0 && len(p) > 0 {
		return 0, ErrWouldBlock
	}
	s.buf = append(s.buf, p[:n]...)
	s.push()
	return n, nil
}

// Info is the socket's place in both sequence spaces, for tests.
type Info struct {
	ISS, SndUna, SndNxt uint32
	IRS, RcvNxt         uint32
	Unsent              int // bytes written but never sent
}

// Info returns the socket's sequence numbers.
func (s *Socket) Info() Info {
	unsent := max(0, len(s.buf)-int(s.sndNxt-s.sndUna))
	return Info{s.iss, s.sndUna, s.sndNxt, s.irs, s.rcvNxt, unsent}
}

func (s *Socket) notify() {
	if s.Notify == nil || s.notified {
		return
	}
	s.notified = true
	s.stack.clock.After(0, func() {
		s.notified = false
		if s.Notify != nil && !s.orphan {
			s.Notify()
		}
	})
}
