package gate

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/segment"
)

// ingressQdisc is the one that excludes clsact.
func ingressQdisc(ifindex int) *netlink.Ingress {
	return &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Parent: netlink.HANDLE_INGRESS}}
}

// verdictProgram is a program of somebody else that returns a verdict for everything.
func verdictProgram(t *testing.T, verdict int32) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "stranger", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()},
	})
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// strangerFilter puts such a program before the gate's filters on a side.
func strangerFilter(t *testing.T, ifindex, side int) {
	t.Helper()
	must(t, netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: sides[side].parent, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: verdictProgram(t, 0).FD(), Name: "stranger", DirectAction: true,
	}))
}

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

// proofs is a packet socket by which a test has the gate prove that it is in the way.
type proofs struct {
	gate *Gate
	flow segment.Flow
	fd   int
}

func newProofs(t *testing.T, g *Gate) *proofs {
	t.Helper()
	p := &proofs{gate: g, flow: ProofFlow(servicePort)}
	must(t, g.SetService(servicePort, ServiceListen, false))
	must(t, g.BindProof(p.flow))
	var err error
	p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(p.fd) })
	return p
}

// prove returns what the gate says of a packet: EventProofOut and EventProofIn, if it is
// in the way on both sides.
func (p *proofs) prove(t *testing.T, ifindex int) (kinds []EventKind) {
	t.Helper()
	on, err := netlink.LinkByIndex(ifindex)
	must(t, err)
	for i, v6 := range []bool{false, true} {
		to := &unix.SockaddrLinklayer{Protocol: 0x0008, Ifindex: ifindex}
		if v6 {
			to.Protocol = 0xdd86
		}
		to.Halen = uint8(copy(to.Addr[:], on.Attrs().HardwareAddr))
		must(t, unix.Sendto(p.fd, AppendProof(nil, p.flow, v6, uint32(i)), 0, to))
	}
	// Both packets were judged at egress before Sendto returned; ingress is a moment later.
	deadline := time.Now().Add(200 * time.Millisecond)
	for len(kinds) < 4 && time.Now().Before(deadline) {
		var events [4]Event
		n, err := p.gate.Events().TryReadBatch(events[:])
		must(t, err)
		for _, e := range events[:n] {
			if e.IfIndex != ifindex {
				t.Errorf("%v of interface %d, not %d", e.Kind, e.IfIndex, ifindex)
			}
			if n, v6, ok := Proof(e.Packet); !ok || v6 != (n == 1) {
				t.Errorf("%v of packet %d, IPv6 %v, is no proof", e.Kind, n, v6)
			}
			kinds = append(kinds, e.Kind)
		}
		if n == 0 {
			time.Sleep(time.Millisecond) // to be told would end a reader that waits for more
		}
	}
	slices.Sort(kinds)
	return kinds
}

func (p *proofs) want(t *testing.T, ifindex int, want ...EventKind) {
	t.Helper()
	twice := append(slices.Clone(want), want...)
	slices.Sort(twice)
	if got := p.prove(t, ifindex); !slices.Equal(got, twice) {
		t.Errorf("proofs: %v, want %v", got, twice)
	}
}

// TestProof: the gate is reached in both directions on each kind of device, and who is not
// reached does not say so.
func TestProof(t *testing.T) {
	l := newLab(t)
	_, tun := newTun(t)
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	defer func() { must(t, g.Close()) }()
	p := newProofs(t, g)
	for _, ifindex := range []int{l.a, l.lo, tun} {
		p.want(t, ifindex)
		must(t, g.Attach(ifindex))
		p.want(t, ifindex, EventProofOut, EventProofIn)
	}
	flows, err := g.Flows()
	must(t, err)
	if len(flows) > 0 {
		t.Errorf("a proof is taken for a connection: %v", flows)
	}
	strangerFilter(t, l.a, 1)
	p.want(t, l.a)
	must(t, g.Unbind(p.flow))
	p.want(t, l.lo)
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
	newProofs(t, g).want(t, l.a, EventProofOut, EventProofIn)
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

func mustHandle(t *testing.T) *netlink.Handle {
	t.Helper()
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(nl.Close)
	return nl
}

// TestHeldByTCX: the sending TCP believes that what a tcx program holds has left. With a
// drop it would not raise snd_nxt, and refuse the ACKs for what it has sent.
func TestHeldByTCX(t *testing.T) {
	l := newLab(t)
	must(t, netlink.QdiscAdd(ingressQdisc(l.a)))
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	defer func() { must(t, g.Close()) }()
	server := netip.MustParseAddr("10.77.0.1")
	listener, err := net.Listen("tcp", netip.AddrPortFrom(server, servicePort).String())
	must(t, err)
	defer listener.Close()
	client := connect(t, l.clientSocket(t, server), server)
	defer client.Close()
	conn, err := listener.Accept()
	must(t, err)
	defer conn.Close()

	must(t, g.SetService(servicePort, ServiceListen, false))
	flow := segment.Flow{
		Client: client.LocalAddr().(*net.TCPAddr).AddrPort(), Server: netip.AddrPortFrom(server, servicePort),
	}
	must(t, g.Bind(flow, 0))
	g.Slot(0).SetMode(ModeOutage)
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
	g.Slot(0).SetMode(ModeFree)
	got := make([]byte, len(text))
	must(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != text {
		t.Errorf("the client has got %q: %v", got, err)
	}
}

// TestMend: whatever takes the gate away or stands before it, it is put back.
func TestMend(t *testing.T) {
	deleteFilters := func(t *testing.T, ifindex int, which ...int) {
		on := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
		for _, i := range which {
			list, err := netlink.FilterList(on, sides[i].parent)
			must(t, err)
			for _, f := range list {
				must(t, netlink.FilterDel(f))
			}
		}
	}
	for _, c := range []struct {
		name string
		harm func(t *testing.T, g *Gate, ifindex int)
		was  error
		want string // by tcx, in the end
	}{
		{"qdisc deleted", func(t *testing.T, _ *Gate, ifindex int) { must(t, netlink.QdiscDel(clsact(ifindex))) }, ErrAway, "[[] []]"},
		{"ingress filter deleted", func(t *testing.T, _ *Gate, ifindex int) { deleteFilters(t, ifindex, 0) }, ErrAway, "[[] []]"},
		{"egress filter deleted", func(t *testing.T, _ *Gate, ifindex int) { deleteFilters(t, ifindex, 1) }, ErrAway, "[[] []]"},
		{"both deleted", func(t *testing.T, _ *Gate, ifindex int) { deleteFilters(t, ifindex, 0, 1) }, ErrAway, "[[] []]"},
		{"qdisc exchanged", func(t *testing.T, _ *Gate, ifindex int) {
			must(t, netlink.QdiscDel(clsact(ifindex)))
			must(t, netlink.QdiscAdd(ingressQdisc(ifindex)))
		}, ErrAway, "[[tcx_in_eth] [tcx_out_eth]]"},
		{"filter before it at ingress", func(t *testing.T, _ *Gate, ifindex int) { strangerFilter(t, ifindex, 0) },
			ErrBehind, "[[tcx_in_eth] [tcx_out_eth]]"},
		{"filter before it at egress", func(t *testing.T, _ *Gate, ifindex int) { strangerFilter(t, ifindex, 1) },
			ErrBehind, "[[tcx_in_eth] [tcx_out_eth]]"},
		{"tcx program", func(t *testing.T, _ *Gate, ifindex int) { strangerTCX(t, ifindex, 1) },
			ErrBehind, "[[tcx_in_eth] [tcx_out_eth stranger]]"},
		{"tcx program before tcx", func(t *testing.T, g *Gate, ifindex int) {
			strangerTCX(t, ifindex, 0)
			was, err := g.Mend(ifindex)
			if !errors.Is(was, ErrBehind) || err != nil {
				t.Errorf("first: %v, %v", was, err)
			}
			strangerTCX(t, ifindex, 0)
		}, ErrBehind, "[[tcx_in_eth stranger stranger] [tcx_out_eth]]"},
		{"tcx link detached", func(t *testing.T, g *Gate, ifindex int) {
			strangerFilter(t, ifindex, 0)
			if _, err := g.Mend(ifindex); err != nil {
				t.Error(err)
			}
			must(t, g.attached[ifindex].links[1].Detach())
		}, ErrAway, "[[tcx_in_eth] [tcx_out_eth]]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)})
			must(t, err)
			must(t, g.Attach(l.a))
			p := newProofs(t, g)
			p.want(t, l.a, EventProofOut, EventProofIn)
			c.harm(t, g, l.a)
			if got := p.prove(t, l.a); len(got) == 4 {
				t.Error("no harm was done")
			}
			was, err := g.Mend(l.a)
			must(t, err)
			if !errors.Is(was, c.was) {
				t.Errorf("mended: %v", was)
			}
			p.want(t, l.a, EventProofOut, EventProofIn)
			if got := fmt.Sprint(tcxInstalled(t, l.a)); got != c.want {
				t.Errorf("by tcx: %s, want %s", got, c.want)
			}
			if was, err := g.Mend(l.a); was != nil || err != nil {
				t.Errorf("mended again: %v, %v", was, err)
			}
			must(t, g.Close())
		})
	}
}

// TestMendGivesWay: who insists on being first is left there.
func TestMendGivesWay(t *testing.T) {
	l := newLab(t)
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	defer func() { must(t, g.Close()) }()
	must(t, g.Attach(l.a))
	prog := verdictProgram(t, -1)
	for round := range 3 {
		s, err := link.AttachTCX(link.TCXOptions{Interface: l.a, Program: prog, Attach: tcxSides[0], Anchor: link.Head()})
		must(t, err)
		was, err := g.Mend(l.a)
		if err != nil || (was == nil) != (round > 0) {
			t.Errorf("round %d: %v, %v", round, was, err)
		}
		must(t, s.Close())
	}
	newProofs(t, g).want(t, l.a, EventProofOut, EventProofIn)
}

// TestAttachBehind: a gate that comes later goes before what is there.
func TestAttachBehind(t *testing.T) {
	l := newLab(t)
	must(t, netlink.QdiscAdd(clsact(l.a)))
	strangerFilter(t, l.a, 0)
	strangerTCX(t, l.lo, 1)
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	p := newProofs(t, g)
	for _, ifindex := range []int{l.a, l.lo} {
		must(t, g.Attach(ifindex))
		p.want(t, ifindex, EventProofOut, EventProofIn)
	}
	must(t, g.Close())
	wantInstalled(t, l.a, "clsact", "stranger")
	if got := fmt.Sprint(tcxInstalled(t, l.lo)); got != "[[] [stranger]]" {
		t.Errorf("left: %s", got)
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
			if ids, err := CleanLinks(bpffs, func(string) bool { return true }); err != nil || len(ids) > 0 {
				t.Errorf("removed, though it is to be adopted: %v, %v", ids, err)
			}
			if ids, err := CleanPins(bpffs); err != nil || len(ids) > 0 {
				t.Errorf("its pins are removed: %v, %v", ids, err)
			}
			var next *Gate
			must(t, l.withoutAdmin(t, func() error {
				next, err = Adopt(Config{ID: "00000001", BPFFS: bpffs}, "00000001")
				return err
			}))
			if next.conns(t) != 0 {
				t.Error("proofs of the engine before are bound")
			}
			must(t, next.Attach(l.a))
			newProofs(t, next).want(t, l.a, EventProofOut, EventProofIn)
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

// conns counts the entries of the map of flows.
func (g *Gate) conns(t *testing.T) (n int) {
	t.Helper()
	flows, err := g.flows()
	must(t, err)
	return len(flows)
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
	if ids, err := CleanLinks(bpffs, dead); err != nil || len(ids) > 0 {
		t.Errorf("removed from an engine that has its pins: %v, %v", ids, err)
	}
	g.die(t)
	if ids, err := CleanLinks(bpffs, dead); err != nil || !slices.Equal(ids, []string{"00000001"}) {
		t.Errorf("removed: %v, %v", ids, err)
	}
	if got := fmt.Sprint(tcxInstalled(t, l.a)); got != "[[] []]" {
		t.Errorf("left behind: %s", got)
	}
	if ids, err := CleanPins(bpffs); err != nil || !slices.Equal(ids, []string{"00000001"}) {
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

// TestMovedInterface: an interface that leaves the network namespace and comes back is
// attached to again.
func TestMovedInterface(t *testing.T) {
	for _, by := range []string{"filters", "tcx"} {
		t.Run(by, func(t *testing.T) {
			l := newLab(t)
			if by == "tcx" {
				must(t, netlink.QdiscAdd(ingressQdisc(l.a)))
			}
			g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)})
			must(t, err)
			defer func() { must(t, g.Close()) }()
			must(t, g.Attach(l.a))
			on, err := netlink.LinkByIndex(l.a)
			must(t, err)
			must(t, netlink.LinkSetNsFd(on, int(l.client)))
			must(t, g.Detach(l.a))
			l.atClient(t, func() {
				on, err := netlink.LinkByName("a")
				must(t, err)
				wantInstalled(t, on.Attrs().Index)
				if got := fmt.Sprint(tcxInstalled(t, on.Attrs().Index)); got != "[[] []]" {
					t.Errorf("in another namespace: %s", got)
				}
				must(t, netlink.LinkSetNsFd(on, int(l.server)))
			})
			ifindex := up(t, "a")
			must(t, g.Attach(ifindex))
			newProofs(t, g).want(t, ifindex, EventProofOut, EventProofIn)
		})
	}
}
