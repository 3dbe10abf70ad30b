package kernel

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
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

func mustHandle(t *testing.T) *netlink.Handle {
	t.Helper()
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(nl.Close)
	return nl
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
		{"qdisc deleted", func(t *testing.T, _ *Gate, ifindex int) { must(t, netlink.QdiscDel(clsact(ifindex))) }, gate.ErrAway, "[[] []]"},
		{"ingress filter deleted", func(t *testing.T, _ *Gate, ifindex int) { deleteFilters(t, ifindex, 0) }, gate.ErrAway, "[[] []]"},
		{"egress filter deleted", func(t *testing.T, _ *Gate, ifindex int) { deleteFilters(t, ifindex, 1) }, gate.ErrAway, "[[] []]"},
		{"both deleted", func(t *testing.T, _ *Gate, ifindex int) { deleteFilters(t, ifindex, 0, 1) }, gate.ErrAway, "[[] []]"},
		{"qdisc exchanged", func(t *testing.T, _ *Gate, ifindex int) {
			must(t, netlink.QdiscDel(clsact(ifindex)))
			must(t, netlink.QdiscAdd(ingressQdisc(ifindex)))
		}, gate.ErrAway, "[[tcx_in_eth] [tcx_out_eth]]"},
		{"filter before it at ingress", func(t *testing.T, _ *Gate, ifindex int) { strangerFilter(t, ifindex, 0) },
			gate.ErrBehind, "[[tcx_in_eth] [tcx_out_eth]]"},
		{"filter before it at egress", func(t *testing.T, _ *Gate, ifindex int) { strangerFilter(t, ifindex, 1) },
			gate.ErrBehind, "[[tcx_in_eth] [tcx_out_eth]]"},
		{"tcx program", func(t *testing.T, _ *Gate, ifindex int) { strangerTCX(t, ifindex, 1) },
			gate.ErrBehind, "[[tcx_in_eth] [tcx_out_eth stranger]]"},
		{"tcx program before tcx", func(t *testing.T, g *Gate, ifindex int) {
			strangerTCX(t, ifindex, 0)
			was, err := g.Mend(ifindex)
			if !errors.Is(was, gate.ErrBehind) || err != nil {
				t.Errorf("first: %v, %v", was, err)
			}
			strangerTCX(t, ifindex, 0)
		}, gate.ErrBehind, "[[tcx_in_eth stranger stranger] [tcx_out_eth]]"},
		{"tcx link detached", func(t *testing.T, g *Gate, ifindex int) {
			strangerFilter(t, ifindex, 0)
			if _, err := g.Mend(ifindex); err != nil {
				t.Error(err)
			}
			must(t, g.attached[ifindex].links[1].Detach())
		}, gate.ErrAway, "[[tcx_in_eth] [tcx_out_eth]]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			g, err := Load(Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)})
			must(t, err)
			must(t, g.Attach(l.a))
			p := newProofs(t, g)
			p.want(t, l.a, gate.EventProofOut, gate.EventProofIn)
			c.harm(t, g, l.a)
			if got := p.prove(t, l.a); len(got) == 4 {
				t.Error("no harm was done")
			}
			was, err := g.Mend(l.a)
			must(t, err)
			if !errors.Is(was, c.was) {
				t.Errorf("mended: %v", was)
			}
			p.want(t, l.a, gate.EventProofOut, gate.EventProofIn)
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
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
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
	newProofs(t, g).want(t, l.a, gate.EventProofOut, gate.EventProofIn)
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
		p.want(t, ifindex, gate.EventProofOut, gate.EventProofIn)
	}
	must(t, g.Close())
	wantInstalled(t, l.a, "clsact", "stranger")
	if got := fmt.Sprint(tcxInstalled(t, l.lo)); got != "[[] [stranger]]" {
		t.Errorf("left: %s", got)
	}
}

// conns counts the entries of the map of flows.
func (g *Gate) conns(t *testing.T) (n int) {
	t.Helper()
	flows, err := g.flows()
	must(t, err)
	return len(flows)
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
			g := loadConfig(t, Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)})
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
			newProofs(t, g).want(t, ifindex, gate.EventProofOut, gate.EventProofIn)
		})
	}
}
