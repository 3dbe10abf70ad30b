package kernel

import (
	"context"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

func TestAttach(t *testing.T) {
	l := newLab(t)
	load := func(id string) *Gate {
		g, err := Load(Config{MaxConns: 4, ID: id})
		must(t, err)
		return g
	}
	one, two := load("00000001"), load("00000002")
	for _, ifindex := range []int{l.lo, l.a, l.a} {
		must(t, one.Attach(ifindex))
	}
	wantInstalled(t, l.lo, "clsact", "ftnet:00000001:in", "ftnet:00000001:out")
	must(t, one.Detach(l.lo))
	wantInstalled(t, l.lo)
	must(t, two.Attach(l.a))
	must(t, one.Close())
	// The clsact stays for those whose filters are on it.
	wantInstalled(t, l.a, "clsact", "ftnet:00000002:in", "ftnet:00000002:out")
	must(t, two.Detach(99999))
	must(t, two.Close())
	// It was there for engines only: the last takes it away.
	wantInstalled(t, l.a)
	must(t, two.Close())
	if err := two.Attach(l.a); err != net.ErrClosed {
		t.Errorf("attach after close: %v", err)
	}
}

// TestAttachedNeverWaits: whether the gate is on an interface is known at once, also while
// somebody waits for the kernel to attach it to another one.
func TestAttachedNeverWaits(t *testing.T) {
	f := filters{attached: map[int]*attachment{7: {}}}
	f.mu.Lock()
	defer f.mu.Unlock()
	told := make(chan bool, 2)
	go func() {
		told <- f.Attached(7)
		told <- f.Attached(8)
	}()
	for _, want := range []bool{true, false} {
		select {
		case got := <-told:
			if got != want {
				t.Errorf("attached: %v, want %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it waits for who attaches")
		}
	}
}

// TestAttachedMeansThere: the gate is not said to be on an interface before it is on both sides.
func TestAttachedMeansThere(t *testing.T) {
	l := newLab(t)
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	defer g.Close()
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(t, err)
	defer nl.Close()
	for range 20 {
		there, begun := make(chan int, 1), make(chan struct{})
		go func() {
			close(begun)
			for !g.Attached(l.a) {
				runtime.Gosched()
			}
			n := 0
			for _, s := range sides {
				list, _ := nl.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: l.a}}, s.parent)
				n += len(list)
			}
			there <- n
		}()
		<-begun
		must(t, g.Attach(l.a))
		if n := <-there; n != len(sides) {
			t.Fatalf("the gate was said to be there with %d filters", n)
		}
		must(t, g.Detach(l.a))
	}
}

func TestAttachBesideOthers(t *testing.T) {
	l := newLab(t)
	must(t, netlink.QdiscAdd(clsact(l.a)))
	must(t, netlink.FilterAdd(&netlink.U32{ClassId: 0x10001, FilterAttrs: netlink.FilterAttrs{
		LinkIndex: l.a, Parent: netlink.HANDLE_MIN_EGRESS, Priority: filterPriority, Protocol: unix.ETH_P_ALL,
	}}))
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	must(t, g.Attach(l.a))
	wantInstalled(t, l.a, "clsact", "ftnet:00000001:in", "ftnet:00000001:out", "u32")
	must(t, g.Close())
	wantInstalled(t, l.a, "clsact", "u32")
}

func TestAttachVanishedInterface(t *testing.T) {
	l := newLab(t)
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	must(t, g.Attach(l.a))
	must(t, netlink.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: l.a}}))
	must(t, g.Detach(l.a))
	if err := g.Attach(l.a); err == nil {
		t.Error("attached to an interface that is gone")
	}
	must(t, g.Close())
}

func TestCleanStale(t *testing.T) {
	l := newLab(t)
	// An engine that dies closes nothing but its file descriptors.
	die := func(id string) {
		g, err := Load(Config{MaxConns: 4, ID: id})
		must(t, err)
		must(t, g.Attach(l.a))
		must(t, g.Attach(l.lo))
		g.attached = nil
		must(t, g.Close())
	}
	die("00000001")
	die("00000002")
	ids, err := cleanStale(func(id string) bool { return id == "00000002" })
	must(t, err)
	if diff := cmp.Diff([]string{"00000001"}, ids); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	wantInstalled(t, l.a, "clsact", "ftnet:00000002:in", "ftnet:00000002:out")
	_, err = cleanStale(func(string) bool { return false })
	must(t, err)
	wantInstalled(t, l.a)
	wantInstalled(t, l.lo)
}

// installed lists the filters on an interface and, if there is one, its clsact.
func installed(t *testing.T, ifindex int) []string {
	t.Helper()
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
	var all []string
	qdiscs, err := netlink.QdiscList(link)
	must(t, err)
	for _, q := range qdiscs {
		if q.Type() == "clsact" {
			all = append(all, "clsact")
		}
	}
	for _, s := range sides {
		list, err := netlink.FilterList(link, s.parent)
		must(t, err)
		for _, f := range list {
			if b, ok := f.(*netlink.BpfFilter); ok {
				all = append(all, b.Name)
			} else {
				all = append(all, f.Type())
			}
		}
	}
	slices.Sort(all)
	return all
}

func wantInstalled(t *testing.T, ifindex int, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, installed(t, ifindex)); diff != "" {
		t.Errorf("interface %d (-want +got):\n%s", ifindex, diff)
	}
}

// TestTun has the gate judge packets without a link header.
func TestTun(t *testing.T) {
	newLab(t)
	tun, ifindex := newTun(t)
	flow := testFlow(false)
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	must(t, g.Attach(ifindex))
	listener, err := net.Listen("tcp", flow.Server.String())
	must(t, err)
	defer listener.Close()
	syn := tcp{toServer: true, seq: 99, flags: flagSYN, window: 1000, raw: []byte{2, 4, 5, 0xb4, 254, 4, 0xf9, 0x89}}
	_, err = unix.Write(tun, syn.bytes())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	e, err := g.readEvent(ctx)
	must(t, err)
	p, ok := parseIP(e.Packet)
	if !ok || e.Kind != gate.EventSYNACK || e.IfIndex != ifindex {
		t.Fatalf("event %v of interface %d: %x", e.Kind, e.IfIndex, e.Packet)
	}
	if p.flow != flow || be.Uint32(p.tcp()[8:]) != 100 {
		t.Errorf("SYN-ACK of %v with ACK number %d", p.flow, be.Uint32(p.tcp()[8:]))
	}
}

// newTun makes a tun device that holds testFlow's server address and has the
// client behind it.
func newTun(t *testing.T) (fd, ifindex int) {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	req, err := unix.NewIfreq("tun0")
	must(t, err)
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	must(t, unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
	ifindex = up(t, "tun0", "10.0.0.1/32")
	_, clients, _ := net.ParseCIDR("192.0.2.0/24")
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: ifindex, Dst: clients}))
	return fd, ifindex
}
