package kernel

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// rawSocket is a raw socket that sends whole IPv4 packets, and its cookie.
type rawSocket struct {
	fd     int
	cookie uint64
}

func newRawSocket(t *testing.T) rawSocket {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	must(t, err)
	return rawSocket{fd, cookie}
}

func (s rawSocket) send(t *testing.T, p []byte) {
	t.Helper()
	must(t, unix.Sendto(s.fd, p, 0, &unix.SockaddrInet4{Addr: [4]byte(p[16:20])}))
}

// arrivals is what a namespace gets of TCP over IPv4, for itself, after tc ingress
// and the rule sets' input hooks.
type arrivals struct{ fd int }

func newArrivals(t *testing.T) arrivals {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVMARK, 1))
	return arrivals{fd}
}

// next returns the sequence number and mark of the next packet.
func (a arrivals) next(t *testing.T) (seq, mark uint32) {
	t.Helper()
	b, oob := make([]byte, 2000), make([]byte, 200)
	n, noob, _, _, err := unix.Recvmsg(a.fd, b, oob, 0)
	must(t, err)
	p, ok := parseIP(b[:n])
	if !ok {
		t.Fatalf("%x arrived", b[:n])
	}
	controls, err := unix.ParseSocketControlMessage(oob[:noob])
	must(t, err)
	for _, c := range controls {
		if c.Header.Level == unix.SOL_SOCKET && c.Header.Type == unix.SO_MARK {
			mark = binary.NativeEndian.Uint32(c.Data)
		}
	}
	return be.Uint32(p.tcp()[4:]), mark
}

// TestOwnSockets: what the engine's sockets send passes where the same packet of
// another socket is held, whatever mark that has; and it never leaves the host if it
// is the server's.
func TestOwnSockets(t *testing.T) {
	l := newLab(t)
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
	must(t, g.Attach(l.a))
	must(t, g.Attach(l.lo))
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	flow := segment.Flow{Client: netip.MustParseAddrPort("10.77.0.2:4000"), Server: netip.AddrPortFrom(netip.MustParseAddr("10.77.0.1"), servicePort)}
	slotState{Mode: gate.ModeOutage}.store(g.Slot(0))
	must(t, g.Bind(flow, 0))
	sender, spoofer, stranger := newRawSocket(t), newRawSocket(t), newRawSocket(t)
	must(t, g.AddSender(sender.cookie, gate.ToClient))
	must(t, g.AddSender(spoofer.cookie, gate.ToServer))
	must(t, unix.SetsockoptInt(stranger.fd, unix.SOL_SOCKET, unix.SO_MARK, int(g.engine.secret.Load()+1)))

	here := newArrivals(t)
	var there arrivals
	l.atClient(t, func() { there = newArrivals(t) })
	packet := func(to gate.Sender, seq uint32) []byte {
		p := segment.Segment{Src: flow.Server, Dst: flow.Client, Seq: seq, Flags: segment.RST}
		if to == gate.ToServer {
			p.Src, p.Dst = flow.Client, flow.Server
		}
		b, err := p.Append(nil)
		must(t, err)
		return b
	}
	want := func(a arrivals, seq uint32) {
		t.Helper()
		if got, mark := a.next(t); got != seq || mark != 0 {
			t.Errorf("segment %d with mark %#x arrived, not %d without one", got, mark, seq)
		}
	}
	stranger.send(t, packet(gate.ToClient, 1))
	sender.send(t, packet(gate.ToClient, 2))
	want(there, 2)
	stranger.send(t, packet(gate.ToServer, 3))
	spoofer.send(t, packet(gate.ToServer, 4))
	want(here, 4)
	if n := g.Slot(0).HeldIn(); n != 1 {
		t.Errorf("%d packets to the server were held, not the stranger's alone", n)
	}

	// The other way round: the client's address is not this host's.
	spoofer.send(t, packet(gate.ToClient, 5))
	sender.send(t, packet(gate.ToClient, 6))
	want(there, 6)
	s, err := g.Stats()
	must(t, err)
	if s.Misrouted != 1 || s.OutageOut != 1 {
		t.Errorf("%d packets misrouted and %d held in the outage, not one of each", s.Misrouted, s.OutageOut)
	}
	must(t, g.RemoveSender(sender.cookie))
	must(t, g.RemoveSender(sender.cookie))
	sender.send(t, packet(gate.ToClient, 7))
	must(t, g.AddSender(sender.cookie, gate.ToClient))
	sender.send(t, packet(gate.ToClient, 8))
	want(there, 8)
}

// TestOwnProbe: a client of the engine's own reaches a listener in an outage.
func TestOwnProbe(t *testing.T) {
	l := newLab(t)
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
	must(t, g.Attach(l.lo))
	for _, addr := range []string{"127.0.0.1", "10.77.0.1"} {
		server := netip.AddrPortFrom(netip.MustParseAddr(addr), servicePort)
		ln, err := net.Listen("tcp", server.String())
		must(t, err)
		defer ln.Close()
		for _, state := range []gate.ServiceState{gate.ServiceOutage, gate.ServiceHold} {
			must(t, g.SetService(servicePort, state, false))
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			defer unix.Close(fd)
			must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 10}))
			must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: server.Addr().As4()}))
			name, err := unix.Getsockname(fd)
			must(t, err)
			flow := segment.Flow{Client: netip.AddrPortFrom(server.Addr(), uint16(name.(*unix.SockaddrInet4).Port)), Server: server}
			must(t, g.Bind(flow, 3))
			cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
			must(t, err)
			must(t, g.AddSender(cookie, gate.ToServer))
			must(t, unix.Connect(fd, &unix.SockaddrInet4{Addr: server.Addr().As4(), Port: servicePort}))
			if _, err := net.DialTimeout("tcp", server.String(), 50*time.Millisecond); err == nil {
				t.Errorf("%v, %v: a stranger got in", server, state)
			}
		}
	}
}

// TestOwnMany: there is an end to them, which is said.
func TestOwnMany(t *testing.T) {
	g := loadGate(t, 4)
	var err error
	for n := uint64(1); n <= gate.MaxSenders+1 && err == nil; n++ {
		if err = g.AddSender(n, gate.ToClient); err != nil && n <= gate.MaxSenders {
			t.Fatalf("socket %d: %v", n, err)
		}
	}
	if !errors.Is(err, unix.E2BIG) {
		t.Fatalf("one more than there is room for: %v", err)
	}
	must(t, g.removeSenders())
	must(t, g.AddSender(1, gate.ToServer))
}
