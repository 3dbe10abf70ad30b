package rawiotest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

var (
	clientAddr = netip.MustParseAddrPort("10.0.0.1:40000")
	serverAddr = netip.MustParseAddrPort("10.0.0.2:7000")
)

// lab is a client and a server host with a process on each.
type lab struct {
	t                          testing.TB
	clock                      *Clock
	net                        *Network
	client, server             *Stack
	clientProcess, process     *Process
	listener                   *Listener
	toClient, toServer         []*Packet // everything that was sent
	trace                      bytes.Buffer
	dropToClient, dropToServer func(*Packet) bool
}

func newLab(t testing.TB, seed uint64, i Impairment, client, server Config) *lab {
	l := &lab{t: t, clock: NewClock()}
	l.net = NewNetwork(l.clock, seed, i)
	l.net.Trace = func(what string, p *Packet) {
		fmt.Fprintf(&l.trace, "%12v %-6s %v\n", l.clock.Now(), what, &p.Segment)
	}
	client.Seed, server.Seed = seed, seed+1
	client.Output = func(p *Packet) {
		l.toServer = append(l.toServer, p)
		if l.dropToServer == nil || !l.dropToServer(p) {
			l.net.Send(p, l.server.Input)
		}
	}
	server.Output = func(p *Packet) {
		l.toClient = append(l.toClient, p)
		if l.dropToClient == nil || !l.dropToClient(p) {
			l.net.Send(p, l.client.Input)
		}
	}
	l.client, l.server = NewStack(l.clock, client), NewStack(l.clock, server)
	l.clientProcess, l.process = l.client.NewProcess(), l.server.NewProcess()
	var err error
	if l.listener, err = l.process.Listen(netip.AddrPortFrom(netip.Addr{}, serverAddr.Port())); err != nil {
		t.Fatal(err)
	}
	return l
}

// connect returns both ends of a new connection.
func (l *lab) connect() (c, s *Socket) {
	l.t.Helper()
	c, err := l.clientProcess.Connect(clientAddr, serverAddr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.run(time.Minute, func() bool {
		if s == nil {
			s = l.listener.Accept()
		}
		return s != nil && c.State() == Established
	})
	return c, s
}

// run fails the test if done does not become true within limit.
func (l *lab) run(limit time.Duration, done func() bool) {
	l.t.Helper()
	if !l.clock.Run(limit, done) {
		trace := l.trace.Bytes()
		l.t.Fatalf("not reached within %v; the last packets:\n%s", limit, trace[max(0, len(trace)-6000):])
	}
}

// settle runs until d has passed.
func (l *lab) settle(d time.Duration) { l.clock.Run(d, nil) }

// inject gives a hand-made segment to the server as if the client had sent it.
func (l *lab) inject(p *Packet) (answers []*Packet) {
	before := len(l.toClient)
	p.Src, p.Dst = clientAddr, serverAddr
	l.server.Input(p)
	return l.toClient[before:]
}

// app writes out and reads until EOF, as the socket allows.
type app struct {
	s       *Socket
	out     []byte
	in      []byte
	keep    bool // no CloseWrite at the end
	eof     bool
	err     error
	written bool
	rand    *rand.Rand // if not nil: reads and writes of random sizes
}

func (a *app) start() {
	a.s.Notify = a.step
	a.step()
}

func (a *app) size(n int) int {
	if a.rand == nil {
		return n
	}
	return 1 + a.rand.IntN(n)
}

func (a *app) step() {
	for len(a.out) > 0 {
		n, err := a.s.Send(a.out[:min(len(a.out), a.size(20000))])
		if err != nil {
			a.fail(err)
			break
		}
		a.out = a.out[n:]
	}
	if len(a.out) == 0 && !a.written {
		a.written = true
		if !a.keep {
			a.s.CloseWrite()
		}
	}
	buf := make([]byte, 20000)
	for !a.eof {
		n, err := a.s.Recv(buf[:a.size(len(buf))])
		a.in = append(a.in, buf[:n]...)
		if errors.Is(err, io.EOF) {
			a.eof = true
		} else if err != nil {
			a.fail(err)
			break
		}
	}
}

func (a *app) fail(err error) {
	if !errors.Is(err, ErrWouldBlock) {
		a.err = err
	}
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func count(packets []*Packet, flags segment.Flags) (n int) {
	for _, p := range packets {
		if p.Flags.Has(flags) {
			n++
		}
	}
	return n
}
