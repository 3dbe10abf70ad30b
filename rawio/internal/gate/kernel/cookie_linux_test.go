package kernel

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestCookie has the kernel answer a SYN by a SYN cookie, which has no socket, and
// forwards a SYN-ACK of another host, which has none here either.
func TestCookie(t *testing.T) {
	newLab(t)
	must(t, os.WriteFile("/proc/sys/net/ipv4/tcp_syncookies", []byte("2"), 0o644))
	must(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644))
	must(t, os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0o644))
	tun, ifindex := newTun(t)
	flow := testFlow(false)
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	must(t, g.Attach(ifindex))
	listener, err := net.Listen("tcp", flow.Server.String())
	must(t, err)
	defer listener.Close()
	syn := tcp{toServer: true, seq: 99, flags: flagSYN, window: 1000}
	write := func(p []byte) {
		_, err := unix.Write(tun, p)
		must(t, err)
	}
	next := func() (gate.EventKind, *packet) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		e, err := g.readEvent(ctx)
		must(t, err)
		p, ok := parseIP(e.Packet)
		if !ok {
			t.Fatalf("event %v: %x", e.Kind, e.Packet)
		}
		return e.Kind, p
	}

	write(syn.bytes())
	kind, p := next()
	if kind != gate.EventCookie || p.flow != flow {
		t.Fatalf("event %v of %v", kind, p.flow)
	}
	cookie := be.Uint32(p.tcp()[4:])

	// Another host's comes in somewhere: here by the device by which it leaves.
	src, dst := netip.MustParseAddr("192.0.2.77"), flow.Client.Addr()
	other, _ := parseIP(tcp{seq: 50, ack: 100, flags: flagSYN | flagACK, window: 1000}.bytes())
	be.PutUint16(other.tcp()[16:], 0)
	be.PutUint16(other.tcp()[16:], tcpChecksum(src, dst, other.tcp()))
	write(tcp{}.ip(src, dst, protoTCP, other.tcp()))
	if p := readTCP(t, tun); p.flags() != flagSYN|flagACK || be.Uint32(p.tcp()[4:]) != 50 {
		t.Errorf("forwarded: %x", p.b)
	}

	// The cookie is what the listener takes.
	must(t, g.Detach(ifindex))
	third := tcp{toServer: true, seq: 100, ack: cookie + 1, flags: flagACK, window: 1000}
	write(third.bytes())
	must(t, listener.(*net.TCPListener).SetDeadline(time.Now().Add(10*time.Second)))
	c, err := listener.Accept()
	must(t, err)
	c.Close()
}

// readTCP returns the next TCP packet that leaves by a tun device.
func readTCP(t *testing.T, tun int) *packet {
	t.Helper()
	buf := make([]byte, 2048)
	for {
		ready := []unix.PollFd{{Fd: int32(tun), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 10_000); n == 0 || err != nil {
			t.Fatalf("nothing left: %v", err)
		}
		n, err := unix.Read(tun, buf)
		must(t, err)
		if p, ok := parseIP(buf[:n]); ok {
			return p
		}
	}
}
