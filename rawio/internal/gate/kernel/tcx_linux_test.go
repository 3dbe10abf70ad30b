package kernel

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// strangerTCX puts it before everything.
func strangerTCX(t *testing.T, ifindex, side int) link.Link {
	t.Helper()
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: ifindex, Program: verdictProgram(t, 0), Attach: tcxSides[side], Anchor: link.Head(),
	})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// tcxInstalled lists the names of the programs on each side, in their order.
func tcxInstalled(t *testing.T, ifindex int) (names [2][]string) {
	t.Helper()
	for i, side := range tcxSides {
		all, err := tcxProgramsOn(ifindex, side)
		must(t, err)
		for _, a := range all {
			p, err := ebpf.NewProgramFromID(a.ID)
			must(t, err)
			info, err := p.Info()
			must(t, err)
			names[i] = append(names[i], info.Name)
			p.Close()
		}
	}
	return names
}

// TestIngressQdisc: an interface whose qdisc excludes clsact gets the gate by tcx, which
// holds what TCP sends without that TCP hears of it.
func TestIngressQdisc(t *testing.T) {
	l := newLab(t)
	must(t, netlink.QdiscAdd(ingressQdisc(l.a)))
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	must(t, g.Attach(l.a))
	if got := fmt.Sprint(tcxInstalled(t, l.a)); got != "[[tcx_in_eth] [tcx_out_eth]]" {
		t.Errorf("attached: %s", got)
	}
	newProofs(t, g).want(t, l.a, gate.EventProofOut, gate.EventProofIn)
	was, err := g.Mend(l.a)
	if was != nil || err != nil {
		t.Errorf("mended, for nothing: %v, %v", was, err)
	}
	must(t, g.Close())
	if got := fmt.Sprint(tcxInstalled(t, l.a)); got != "[[] []]" {
		t.Errorf("left behind: %s", got)
	}
	kind, err := ingressKind(mustHandle(t), l.a)
	must(t, err)
	if kind != "ingress" {
		t.Errorf("the qdisc is now %q", kind)
	}
}

// TestHeldByTCX: the sending TCP believes that what a tcx program holds has left. With a
// drop it would not raise snd_nxt, and refuse the ACKs for what it has sent.
func TestHeldByTCX(t *testing.T) {
	l := newLab(t)
	must(t, netlink.QdiscAdd(ingressQdisc(l.a)))
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
	server := netip.MustParseAddr("10.77.0.1")
	listener, err := net.Listen("tcp", netip.AddrPortFrom(server, servicePort).String())
	must(t, err)
	defer listener.Close()
	client := connect(t, l.clientSocket(t, server), server)
	defer client.Close()
	conn, err := listener.Accept()
	must(t, err)
	defer conn.Close()

	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	flow := segment.Flow{
		Client: client.LocalAddr().(*net.TCPAddr).AddrPort(), Server: netip.AddrPortFrom(server, servicePort),
	}
	must(t, g.Bind(flow, 0))
	g.Slot(0).SetMode(gate.ModeOutage)
	must(t, g.Attach(l.a))
	const text = "held at first"
	_, err = io.WriteString(conn, text)
	must(t, err)
	raw, err := conn.(*net.TCPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO)
		if err != nil || info.Bytes_sent != uint64(len(text)) || info.Unacked != 1 {
			t.Errorf("TCP has sent %d bytes, %d segments are in flight: %v", info.Bytes_sent, info.Unacked, err)
		}
	}))
	if g.Slot(0).Egress() == 0 {
		t.Error("the gate has not seen the segment")
	}
	g.Slot(0).SetMode(gate.ModeFree)
	got := make([]byte, len(text))
	must(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != text {
		t.Errorf("the client has got %q: %v", got, err)
	}
}

// TestAdoptTCX: the next engine finds what is attached by tcx among the pins, whether
// there are filters elsewhere or not, and at no time nothing judges.
func TestAdoptTCX(t *testing.T) {
	for _, more := range []bool{false, true} {
		t.Run(fmt.Sprintf("filters elsewhere=%v", more), func(t *testing.T) {
			l := newLab(t)
			must(t, netlink.QdiscAdd(ingressQdisc(l.a)))
			bpffs := ownBPFFS(t)
			g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs})
			must(t, err)
			must(t, g.Attach(l.a))
			if more {
				must(t, g.Attach(l.lo))
			}
			newProofs(t, g) // which the adopter must not take for a connection
			g.die(t)
			if got := fmt.Sprint(tcxInstalled(t, l.a)); got != "[[tcx_in_eth] [tcx_out_eth]]" {
				t.Errorf("after its death: %s", got)
			}
			if ids, err := cleanLinks(bpffs, func(string) bool { return true }); err != nil || len(ids) > 0 {
				t.Errorf("removed, though it is to be adopted: %v, %v", ids, err)
			}
			if ids, err := removeStalePins(bpffs); err != nil || len(ids) > 0 {
				t.Errorf("its pins are removed: %v, %v", ids, err)
			}
			var next *Gate
			must(t, l.withoutAdmin(t, func() error {
				next, err = Adopt(Config{ID: "00000001", BPFFS: bpffs})
				return err
			}))
			if next.conns(t) != 0 {
				t.Error("proofs of the engine before are bound")
			}
			must(t, next.Attach(l.a))
			newProofs(t, next).want(t, l.a, gate.EventProofOut, gate.EventProofIn)
			if was, err := next.Mend(l.a); was != nil || err != nil {
				t.Errorf("mended: %v, %v", was, err)
			}
			must(t, next.Close())
			if got := fmt.Sprint(tcxInstalled(t, l.a)); got != "[[] []]" {
				t.Errorf("left behind: %s", got)
			}
		})
	}
}

// TestCleanLinks: what a dead engine has attached by tcx is removed with its pins; without
// pins it has gone with the engine.
func TestCleanLinks(t *testing.T) {
	l := newLab(t)
	must(t, netlink.QdiscAdd(ingressQdisc(l.a)))
	bpffs := ownBPFFS(t)
	dead := func(string) bool { return false }
	g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: bpffs})
	must(t, err)
	must(t, g.Attach(l.a))
	if ids, err := cleanLinks(bpffs, dead); err != nil || len(ids) > 0 {
		t.Errorf("removed from an engine that has its pins: %v, %v", ids, err)
	}
	g.die(t)
	if ids, err := cleanLinks(bpffs, dead); err != nil || !slices.Equal(ids, []string{"00000001"}) {
		t.Errorf("removed: %v, %v", ids, err)
	}
	if got := fmt.Sprint(tcxInstalled(t, l.a)); got != "[[] []]" {
		t.Errorf("left behind: %s", got)
	}
	if ids, err := removeStalePins(bpffs); err != nil || !slices.Equal(ids, []string{"00000001"}) {
		t.Errorf("pins removed: %v, %v", ids, err)
	}
	g, err = Load(Config{MaxConns: 4, ID: "00000002"})
	must(t, err)
	must(t, g.Attach(l.a))
	g.die(t)
	if got := fmt.Sprint(tcxInstalled(t, l.a)); got != "[[] []]" {
		t.Errorf("left behind without pins: %s", got)
	}
}
