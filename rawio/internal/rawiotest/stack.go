package rawiotest

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

// Errors of sockets, in the words of the system calls.
var (
	// ErrWouldBlock is returned when there is nothing to read or no room to write.
	ErrWouldBlock = errors.New("rawiotest: would block")
	// ErrReset is returned after the peer has reset the connection.
	ErrReset = errors.New("rawiotest: connection reset")
	// ErrRefused is returned when the peer has refused the connection.
	ErrRefused = errors.New("rawiotest: connection refused")
	// ErrAborted is returned after Destroy.
	ErrAborted = errors.New("rawiotest: connection aborted")
	// ErrTimeout is returned when the peer has not answered for too long.
	ErrTimeout = errors.New("rawiotest: connection timed out")
	// ErrClosed is returned on use of what the process itself has closed.
	ErrClosed = errors.New("rawiotest: closed")
	// ErrInUse is returned when the address is taken.
	ErrInUse = errors.New("rawiotest: address in use")
	// ErrNotFound is returned by Destroy when there is no such socket.
	ErrNotFound = errors.New("rawiotest: no such socket")
)

// Config describes a stack. Output is required, everything else has a default.
type Config struct {
	// Output takes each packet that the stack sends. The packet is the
	// callee's. Calling Input from within is allowed: it waits its turn.
	Output func(*Packet)
	// Release, if not nil, is told when a process lets go of a connection's
	// socket, by closing it or by dying, before the stack says anything of it.
	Release func(*Socket)
	// Seed of initial sequence numbers and timestamp offsets.
	Seed uint64
	// ISN, if not nil, chooses the initial sequence numbers.
	ISN func() uint32

	MSS           uint16 // default 1460, in bytes without options
	SendBuffer    int    // default 64 KiB
	ReceiveBuffer int    // default 64 KiB; also the largest window
	WScale        uint8  // default 2
	GSO           int    // most MSS that one packet holds, default 4
	// Backlog is how many connections may wait for Accept, one more than that, and how many
	// may be half-open, before SYN cookies answer for the others. Default 128.
	Backlog int
	Cookies Cookies
	// DeferAccept is TCP_DEFER_ACCEPT of listeners, in repetitions of the SYN-ACK: so long an
	// ACK without data does not complete a handshake.
	DeferAccept int
	// StrictEcho has the third ACK refused if what it echoes is older than the timestamp of
	// the first SYN-ACK or newer than that of the last one (Linux 6.15).
	StrictEcho bool

	NoTimestamps, NoSACK, NoWScale bool
	// ECN asks for it on connections that the stack opens (tcp_ecn=1); it is
	// granted to peers that ask unless NoECN is set.
	ECN, NoECN bool

	DelayedACK time.Duration // default 40 ms
	TimeWait   time.Duration // default 60 s
	FinTimeout time.Duration // of an orphan in FIN_WAIT2, default 60 s
}

func (c *Config) fill() {
	setDefault(&c.MSS, 1460)
	setDefault(&c.SendBuffer, 64<<10)
	setDefault(&c.ReceiveBuffer, 64<<10)
	setDefault(&c.WScale, 2)
	setDefault(&c.GSO, 4)
	setDefault(&c.Backlog, 128)
	setDefault(&c.DelayedACK, 40*time.Millisecond)
	setDefault(&c.TimeWait, time.Minute)
	setDefault(&c.FinTimeout, time.Minute)
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// endpoints is a connection as the local side sees it.
type endpoints struct{ local, remote netip.AddrPort }

// Stack is the TCP of one host.
type Stack struct {
	config    Config
	clock     *Clock
	rand      *rand.Rand
	sockets   map[endpoints]*Socket
	listeners map[netip.AddrPort]*Listener // port with the zero address: all addresses
	ids       uint64
	secret    uint64 // of SYN cookies

	busy    bool // a packet or a call is being handled
	backlog []*Packet
}

// NewStack returns a stack without sockets.
func NewStack(clock *Clock, config Config) *Stack {
	config.fill()
	return &Stack{
		config:    config,
		clock:     clock,
		rand:      rand.New(rand.NewPCG(config.Seed, 0x737461636b)),
		sockets:   map[endpoints]*Socket{},
		listeners: map[netip.AddrPort]*Listener{},
		secret:    config.Seed,
	}
}

// Input hands the stack a packet from the network, which it may keep.
func (st *Stack) Input(p *Packet) {
	if st.busy {
		st.backlog = append(st.backlog, p)
		return
	}
	defer st.enter()()
	st.input(p)
}

// enter marks the stack as busy; the returned function ends that and handles
// what came in meanwhile.
func (st *Stack) enter() func() {
	if st.busy {
		return func() {}
	}
	st.busy = true
	return func() {
		for len(st.backlog) > 0 {
			p := st.backlog[0]
			st.backlog = st.backlog[1:]
			st.input(p)
		}
		st.busy = false
	}
}

func (st *Stack) input(p *Packet) {
	s := st.sockets[endpoints{p.Dst, p.Src}]
	if s != nil && s.parent != nil && s.parent.closed { // tcp_v4_rcv looks for another listener
		s.remove(ErrClosed)
		s = nil
	}
	if s != nil {
		s.input(p)
		return
	}
	if l := st.listener(p.Dst); l != nil {
		l.input(p)
		return
	}
	st.refuse(p, 0)
}

func (st *Stack) listener(local netip.AddrPort) *Listener {
	if l := st.listeners[local]; l != nil {
		return l
	}
	return st.listeners[netip.AddrPortFrom(netip.Addr{}, local.Port())]
}

// refuse answers a segment that belongs to no connection (tcp_v4_send_reset;
// RFC 9293, section 3.5.2).
func (st *Stack) refuse(p *Packet, priority uint32) {
	if p.Flags.Has(segment.RST) {
		return
	}
	r := &Packet{Priority: priority}
	r.Src, r.Dst = p.Dst, p.Src
	if p.Flags.Has(segment.ACK) {
		r.Flags, r.Seq = segment.RST, p.Ack
	} else {
		r.Flags, r.Ack = segment.RST|segment.ACK, p.End()
	}
	st.config.Output(r)
}

func (st *Stack) isn() uint32 {
	if st.config.ISN != nil {
		return st.config.ISN()
	}
	return st.rand.Uint32()
}

// Sockets returns all sockets but listeners in the order of their creation:
// what a dump by sock_diag shows, half-open and TIME_WAIT ones included.
func (st *Stack) Sockets() []*Socket {
	all := make([]*Socket, 0, len(st.sockets))
	for _, s := range st.sockets {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Socket) int { return int(int64(a.id - b.id)) })
	return all
}

// Lookup returns the socket with the two addresses, or nil.
func (st *Stack) Lookup(local, remote netip.AddrPort) *Socket {
	return st.sockets[endpoints{local, remote}]
}

// Destroy is SOCK_DESTROY: the socket ends at once, with a RST to the peer
// where the state asks for one (tcp_abort).
func (st *Stack) Destroy(local, remote netip.AddrPort) error {
	defer st.enter()()
	s := st.sockets[endpoints{local, remote}]
	if s == nil {
		return ErrNotFound
	}
	s.abort(ErrAborted)
	return nil
}
