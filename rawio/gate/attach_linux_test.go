package gate

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/testenv"
	"github.com/ftnet/ftnet/rawio/segment"
)

// lab is two network namespaces and a veth pair:
//
//	server 10.77.0.1/24 ── a ════ b ── 10.77.0.2/24 client
//	       fd77::1/64                  fd77::2/64
//
// The test's goroutine is locked to its thread, which stays in the server's
// namespace except inside atClient. Both vanish with the thread.
type lab struct {
	server, client netns.NsHandle
	a, lo          int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	testenv.RequireRoot(t)
	keepNamespace(t)
	l := new(lab)
	var err error
	l.client, err = netns.New()
	must(t, err)
	l.server, err = netns.New()
	must(t, err)
	t.Cleanup(func() { l.client.Close(); l.server.Close() })
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b", PeerNamespace: netlink.NsFd(l.client),
	}))
	l.lo = up(t, "lo")
	l.a = up(t, "a", "10.77.0.1/24", "fd77::1/64")
	l.atClient(t, func() {
		up(t, "lo")
		up(t, "b", "10.77.0.2/24", "fd77::2/64")
	})
	return l
}

// keepNamespace locks the test to its thread, and takes both back to where they
// were in the end.
func keepNamespace(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	origin, err := netns.Get()
	must(t, err)
	t.Cleanup(func() {
		must(t, netns.Set(origin))
		origin.Close()
		runtime.UnlockOSThread()
	})
}

// enter takes a subtest into the server's namespace: it runs on a goroutine of
// its own.
func (l *lab) enter(t *testing.T) {
	t.Helper()
	keepNamespace(t)
	must(t, netns.Set(l.server))
}

func up(t testing.TB, name string, addrs ...string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	for _, addr := range addrs {
		a, err := netlink.ParseAddr(addr)
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(link, a))
	}
	must(t, netlink.LinkSetUp(link))
	return link.Attrs().Index
}

func (l *lab) atClient(t *testing.T, f func()) {
	t.Helper()
	must(t, netns.Set(l.client))
	defer func() { must(t, netns.Set(l.server)) }()
	f()
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
	ids, err := CleanStale(func(id string) bool { return id == "00000002" })
	must(t, err)
	if diff := cmp.Diff([]string{"00000001"}, ids); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	wantInstalled(t, l.a, "clsact", "ftnet:00000002:in", "ftnet:00000002:out")
	_, err = CleanStale(func(string) bool { return false })
	must(t, err)
	wantInstalled(t, l.a)
	wantInstalled(t, l.lo)
}

// TestTranslatedConnection runs a real connection over a veth pair, which hands
// out partial checksums and super-packets, with every number translated. The
// client's kernel accepts nothing that is not consistent.
func TestTranslatedConnection(t *testing.T) {
	for _, addr := range []string{"10.77.0.1", "fd77::1"} {
		t.Run(addr, func(t *testing.T) { translatedConnection(t, newLab(t), netip.MustParseAddr(addr)) })
	}
}

func translatedConnection(t *testing.T, l *lab, addr netip.Addr) {
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	defer func() { must(t, g.Close()) }()
	must(t, g.SetService(servicePort, ServiceListen, false))
	must(t, g.Attach(l.a))
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, servicePort).String())
	must(t, err)
	defer listener.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dialed := make(chan net.Conn, 1)
	fd := l.clientSocket(t, addr)
	go func() { dialed <- connect(t, fd, addr) }()

	// The SYN-ACK is held; its retransmission passes, translated.
	synack, err := g.Events().Read(ctx)
	must(t, err)
	if synack.Kind != EventSYNACK || synack.Slot != NoSlot {
		t.Fatalf("event %v of slot %d", synack.Kind, synack.Slot)
	}
	p, _ := parseIP(synack.Packet)
	p.ports(p.tcp(), toClient)
	irs, iss := be.Uint32(p.tcp()[8:])-1, be.Uint32(p.tcp()[4:])
	scale := windowScale(t, p.options())
	state := slotState{
		Mode: ModeOpen, Flags: FlagXlate | FlagTS | FlagSACK, Stable: irs + 1 + 1<<30, High: irs + 1 + 1<<30,
		IRS: irs, Delta: delta, TSDelta: tsDelta, KScale: scale, CScale: scale, SndNxt: iss + delta, Base: iss + delta + 1,
	}
	state.store(g.Slot(2))
	must(t, g.Bind(p.flow, 2))

	server, err := listener.Accept()
	must(t, err)
	defer server.Close()
	client := <-dialed
	defer client.Close()
	g.Slot(2).SetMode(ModeLive)
	if got := g.Slot(2).SndNxt(); got != iss+delta+1 {
		t.Errorf("snd_nxt after the SYN-ACK: %#x, want %#x", got, iss+delta+1)
	}
	exchange(t, server, client)
	exchange(t, client, server)
	if got, want := g.Slot(2).SndNxt(), iss+delta+1+exchanged; got != want {
		t.Errorf("snd_nxt: %#x, want %#x", got, want)
	}
	if got, want := g.Slot(2).Ack(), irs+1+exchanged; got != want {
		t.Errorf("ack: %#x, want %#x", got, want)
	}
	stats, err := g.Stats()
	must(t, err)
	if diff := cmp.Diff(Stats{SYNACKHeld: 1}, stats); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}

	// A FIN that nobody announced stays; what was sent arrives nevertheless.
	must(t, server.Close())
	fin, err := g.Events().Read(ctx)
	must(t, err)
	if fin.Kind != EventFINHeld || fin.Slot != 2 {
		t.Errorf("event %v of slot %d", fin.Kind, fin.Slot)
	}
	must(t, client.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := client.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("the client reads %v", err)
	}
}

// TestTun has the gate judge packets without a link header.
func TestTun(t *testing.T) {
	newLab(t)
	tun, ifindex := newTun(t)
	flow := testFlow(false)
	g, err := Load(Config{MaxConns: 4, ID: "00000001"})
	must(t, err)
	defer func() { must(t, g.Close()) }()
	must(t, g.SetService(servicePort, ServiceListen, false))
	must(t, g.Attach(ifindex))
	listener, err := net.Listen("tcp", flow.Server.String())
	must(t, err)
	defer listener.Close()
	syn := tcp{toServer: true, seq: 99, flags: flagSYN, window: 1000, raw: []byte{2, 4, 5, 0xb4, 254, 4, 0xf9, 0x89}}
	_, err = unix.Write(tun, syn.bytes())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	e, err := g.Events().Read(ctx)
	must(t, err)
	p, ok := parseIP(e.Packet)
	if !ok || e.Kind != EventSYNACK || e.IfIndex != ifindex {
		t.Fatalf("event %v of interface %d: %x", e.Kind, e.IfIndex, e.Packet)
	}
	p.ports(p.tcp(), toClient)
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

// clientSocket returns a TCP socket in the client's namespace.
func (l *lab) clientSocket(t *testing.T, to netip.Addr) (fd int) {
	t.Helper()
	family := unix.AF_INET
	if to.Is6() {
		family = unix.AF_INET6
	}
	l.atClient(t, func() {
		var err error
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
	})
	return fd
}

func connect(t *testing.T, fd int, to netip.Addr) net.Conn {
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: to.As16(), Port: servicePort}
	if to.Is4() {
		sa = &unix.SockaddrInet4{Addr: to.As4(), Port: servicePort}
	}
	if err := unix.Connect(fd, sa); err != nil {
		t.Error(err)
	}
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Error(err)
	}
	return c
}

const exchanged = 4 << 20

func exchangedBytes() []byte {
	data := make([]byte, exchanged)
	rnd := rand.NewChaCha8([32]byte{})
	rnd.Read(data)
	return data
}

// exchange sends exchanged bytes from one end to the other.
func exchange(t *testing.T, from, to net.Conn) {
	t.Helper()
	data := exchangedBytes()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		sent <- err
	}()
	must(t, to.SetReadDeadline(time.Now().Add(20*time.Second)))
	got := make([]byte, exchanged)
	_, err := io.ReadFull(to, got)
	must(t, err)
	must(t, <-sent)
	if !bytes.Equal(data, got) {
		t.Error("bytes differ")
	}
}

func windowScale(t *testing.T, opt []byte) uint8 {
	t.Helper()
	for i := 0; i < len(opt); {
		n := nextOption(opt, i)
		if n == 0 {
			break
		}
		if opt[i] == 3 {
			return opt[i+2]
		}
		i += n
	}
	t.Fatal("no window scale")
	return 0
}

func TestEventReaderEnds(t *testing.T) {
	g := loadGate(t, 4)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := g.Events().Read(ctx); done <- err }()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("read after cancel: %v", err)
	}
	go func() { _, err := g.Events().Read(context.Background()); done <- err }()
	must(t, g.Close())
	if err := <-done; err != net.ErrClosed {
		t.Errorf("read after close: %v", err)
	}
}

func TestSupported(t *testing.T) {
	testenv.RequireRoot(t)
	for _, f := range Features() {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{}, {ID: "0123abc"}, {ID: "0123ABCD"}, {ID: "0123abcd", MaxConns: -1}} {
		if _, err := Load(c); err == nil || !strings.HasPrefix(err.Error(), "gate: ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestBindChecksSlot(t *testing.T) {
	g := loadGate(t, 4)
	flow := segment.Flow{Client: netip.MustParseAddrPort("10.0.0.1:1"), Server: netip.MustParseAddrPort("10.0.0.2:2")}
	for _, j := range []judge{kernelJudge{Gate: g}, modelJudge{NewModel(4)}} {
		if err := j.Bind(flow, 4); err != ErrSlot {
			t.Errorf("bind to slot 4 of 4: %v", err)
		}
		must(t, j.Unbind(flow))
		must(t, j.DeleteService(9))
	}
}
