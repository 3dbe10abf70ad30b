package kernel

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// newLinkSocket is a packet socket that sends, and its cookie.
func newLinkSocket(t *testing.T) rawSocket {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	must(t, err)
	return rawSocket{fd, cookie}
}

// sendFrame sends an IPv4 packet by a device.
func (s rawSocket) sendFrame(t *testing.T, ifindex int, to, from [6]byte, p []byte) {
	t.Helper()
	f := append(append(to[:], from[:]...), 0x08, 0x00)
	must(t, unix.Sendto(s.fd, append(f, p...), 0, &unix.SockaddrLinklayer{Protocol: be.Uint16([]byte{0, 8}), Ifindex: ifindex}))
}

// TestOwnTurns: what the engine gives to a device leaves with the neighbour's address,
// and what it gives to loopback for the server arrives by the client's device, in a
// size that this would not take; the slot tells which devices those are.
func TestOwnTurns(t *testing.T) {
	l := newLab(t)
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001", Mark: 7})
	must(t, g.Attach(l.a))
	must(t, g.Attach(l.lo))
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	flow := segment.Flow{Client: netip.MustParseAddrPort("10.77.0.2:4000"), Server: netip.AddrPortFrom(netip.MustParseAddr("10.77.0.1"), servicePort)}
	slotState{Mode: gate.ModeOpen}.store(g.Slot(0))
	must(t, g.Bind(flow, 0))
	link, err := netlink.LinkByIndex(l.a)
	must(t, err)
	mac := [6]byte(link.Attrs().HardwareAddr)

	here := newArrivals(t)
	var there arrivals
	l.atClient(t, func() { there = newArrivals(t) })
	packet := func(to gate.Sender, seq uint32, payload int) []byte {
		p := segment.Segment{Src: flow.Server, Dst: flow.Client, Seq: seq, Flags: segment.RST, Payload: make([]byte, payload)}
		if to == gate.ToServer {
			p.Src, p.Dst = flow.Client, flow.Server
		}
		b, err := p.Append(nil)
		must(t, err)
		return b
	}
	out, in, stranger := newLinkSocket(t), newLinkSocket(t), newRawSocket(t)
	must(t, g.AddSender(out.cookie, gate.ToClient))
	must(t, g.AddSender(in.cookie, gate.Turns))

	out.sendFrame(t, l.a, [6]byte{}, [6]byte{}, packet(gate.ToClient, 1, 100))
	if seq, _ := there.next(t); seq != 1 {
		t.Errorf("segment %d arrived at the client", seq)
	}
	// As the kernel's own: its device is noted, and its mark.
	must(t, unix.SetsockoptInt(stranger.fd, unix.SOL_SOCKET, unix.SO_MARK, 99))
	stranger.send(t, packet(gate.ToClient, 2, 0))
	if seq, _ := there.next(t); seq != 2 {
		t.Errorf("segment %d arrived at the client", seq)
	}
	if device, mark := g.Slot(0).Out(); device != l.a || mark != 99 {
		t.Errorf("the server's packets leave by device %d with mark %d", device, mark)
	}

	g.Slot(0).SetMode(gate.ModeOutage)
	in.sendFrame(t, l.lo, mac, gate.TurnAddress(l.a), packet(gate.ToServer, 3, 32000))
	if seq, mark := here.next(t); seq != 3 || mark != 7 {
		t.Errorf("segment %d with mark %d arrived at the server", seq, mark)
	}
	in.sendFrame(t, l.a, mac, gate.TurnAddress(l.a), packet(gate.ToServer, 4, 1000)) // loopback may be down
	if seq, _ := here.next(t); seq != 4 {
		t.Errorf("segment %d arrived at the server", seq)
	}
	in.sendFrame(t, l.a, mac, [6]byte{2, 1, 1, 1, 1, 1}, packet(gate.ToServer, 5, 0)) // to nowhere
	s, err := g.Stats()
	must(t, err)
	if s.Misrouted != 1 || s.OutageIn != 0 {
		t.Errorf("%d packets misrouted, %d held, not one and none", s.Misrouted, s.OutageIn)
	}
	l.atClient(t, func() {
		raw := newRawSocket(t)
		raw.send(t, packet(gate.ToServer, 6, 0))
	})
	awaitStolen(t, g.Slot(0))
	if device := g.Slot(0).In(); device != l.a {
		t.Errorf("the client's packets arrive by device %d, not %d", device, l.a)
	}
}

// TestLoopbackCarries: loopback that is there for the engine's packets only judges
// nobody else's.
func TestLoopbackCarries(t *testing.T) {
	l := newLab(t)
	for _, carries := range []bool{false, true} {
		g, err := Load(Config{MaxConns: 4, ID: "00000001", LoopbackCarries: carries})
		must(t, err)
		must(t, g.Attach(l.lo))
		must(t, g.SetService(servicePort, gate.ServiceListen, false))
		flow := segment.Flow{Client: netip.MustParseAddrPort("127.0.0.1:4000"), Server: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), servicePort)}
		slotState{Mode: gate.ModeOutage}.store(g.Slot(0))
		must(t, g.Bind(flow, 0))
		p := segment.Segment{Src: flow.Client, Dst: flow.Server, Flags: segment.RST}
		b, err := p.Append(nil)
		must(t, err)
		here := newArrivals(t)
		newRawSocket(t).send(t, b)
		if carries {
			here.next(t)
		} else {
			awaitStolen(t, g.Slot(0))
		}
		must(t, g.Close())
	}
}

// awaitStolen waits until a packet to the server was held.
func awaitStolen(t *testing.T, s *gate.Slot) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.HeldIn() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no packet was held")
		}
	}
}
