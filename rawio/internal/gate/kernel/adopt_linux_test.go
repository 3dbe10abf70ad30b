package kernel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestAdopt kills an engine. Its gate goes on: what is held stays held, what is
// translated is translated. The next one takes it over as it is: through its pins,
// without CAP_SYS_ADMIN.
func TestAdopt(t *testing.T) {
	for _, addr := range []string{"10.77.0.1", "fd77::1"} {
		t.Run(addr, func(t *testing.T) { adopted(t, newLab(t), netip.MustParseAddr(addr), ownBPFFS(t)) })
	}
}

func adopted(t *testing.T, l *lab, addr netip.Addr, bpffs string) {
	old := startEngine(t, l.a, bpffs)
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, servicePort).String())
	must(t, err)
	defer listener.Close()
	dialed := make(chan net.Conn, 2)
	dial := func() {
		fd := l.clientSocket(t, addr)
		go func() { dialed <- connect(t, fd, addr) }()
	}
	dial()
	p, ok := parseIP(old.do(t, order{Event: true}).Packet)
	if !ok {
		t.Fatal("no SYN-ACK")
	}
	irs, iss := be.Uint32(p.tcp()[8:])-1, be.Uint32(p.tcp()[4:])
	scale := windowScale(t, p.options())
	state := slotState{
		Mode: gate.ModeOpen, Flags: gate.FlagXlate | gate.FlagTS | gate.FlagSACK, Gen: 3, IRS: irs,
		Delta: delta, TSDelta: tsDelta, KScale: scale, CScale: scale, Ack: irs + 1, SndNxt: iss + delta, Base: iss + delta + 1,
	}
	old.do(t, order{Slot: 2, Store: &state, Bind: &p.flow})
	server, err := listener.Accept()
	must(t, err)
	defer server.Close()
	client := (<-dialed).(*net.TCPConn)
	defer client.Close()
	state.Mode, state.SndNxt, state.Stable, state.High = gate.ModeLive, iss+delta+1, irs+1+1<<30, irs+1+1<<30
	old.do(t, order{Slot: 2, Store: &state})
	exchange(t, client, server)
	state.Stable, state.High = irs+1+exchanged, irs+1+exchanged
	old.do(t, order{Slot: 2, Store: &state})
	_, err = client.Write([]byte("hello"))
	must(t, err)
	_, err = io.ReadFull(server, make([]byte, 5))
	must(t, err)
	dial() // and nobody reads of its SYN-ACK
	for start := time.Now(); unacknowledged(t, client) != 5 && time.Since(start) < 10*time.Second; {
		time.Sleep(time.Millisecond)
	}

	old.kill()
	_, err = server.Write([]byte("still"))
	must(t, err)
	_, err = io.ReadFull(client, make([]byte, 5))
	must(t, err)
	if n := unacknowledged(t, client); n != 5 {
		t.Errorf("%d bytes not acknowledged after the engine's death, want 5", n)
	}

	g := l.adopt(t, Config{MaxConns: 99, ID: childID, BPFFS: bpffs})
	defer func() {
		must(t, g.Close())
		wantInstalled(t, l.a)
	}()
	wantInstalled(t, l.a, "clsact", "ftnet:"+childID+":in", "ftnet:"+childID+":out")
	if g.MaxConns() != 8 {
		t.Errorf("%d slots, not those of the old gate", g.MaxConns())
	}
	flows, err := g.Flows()
	must(t, err)
	if diff := cmp.Diff(map[segment.Flow]uint32{p.flow: 2}, flows, cmpopts.EquateComparable(segment.Flow{})); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	services, err := g.Services()
	must(t, err)
	if diff := cmp.Diff([]gate.Service{{Port: servicePort, State: gate.ServiceListen}}, services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	s := g.Slot(2)
	if s.Gen() != 3 || s.Ack() != irs+1+exchanged+5 || s.SndNxt() != iss+delta+1+5 || !s.Held() || s.Opened() {
		t.Errorf("slot: %+v", loadState(s))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	synack, err := g.readEvent(ctx)
	must(t, err)
	if synack.Kind != gate.EventSYNACK || synack.Slot != gate.NoSlot {
		t.Errorf("the first event that the old engine has not read is %v of slot %d", synack.Kind, synack.Slot)
	}

	// The new engine's word counts.
	s.SetHigh(s.High() + 1<<30)
	s.SetStable(s.Stable() + 1<<30)
	if !s.TakeHeld() {
		t.Error("no ACK is owed")
	}
	exchange(t, server, client)
	if n := unacknowledged(t, client); n != 0 {
		t.Errorf("%d bytes not acknowledged", n)
	}
	exchange(t, client, server)
	must(t, g.DeleteService(servicePort)) // the other client gets its SYN-ACK
	must(t, (<-dialed).Close())
}

// die leaves what an engine leaves that is killed.
func (g *Gate) die(t *testing.T) {
	t.Helper()
	must(t, g.abandon())
}

// TestAdoptUnderLoad: no packet passes unjudged, and none is judged twice, however
// often the gate changes hands.
func TestAdoptUnderLoad(t *testing.T) {
	l, config := newLab(t), Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)}
	g, err := Load(config)
	must(t, err)
	must(t, g.Attach(l.a))
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	flow := testFlow(false)
	must(t, g.Bind(flow, 1))
	slotState{Mode: gate.ModeLive, Stable: 100, High: 100}.store(g.Slot(1))
	out, in := packetSocket(t), 0
	l.atClient(t, func() { in = packetSocket(t) })

	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		f := frame(tcp{flags: flagACK, seq: 1, ack: 200, window: 10}.bytes(), false)
		sent := uint64(0)
		for {
			select {
			case <-stop:
				done <- sent
				return
			default:
			}
			err := unix.Sendto(out, f, 0, &unix.SockaddrLinklayer{Ifindex: l.a})
			switch {
			case err == nil:
				sent++
			case !errors.Is(err, unix.ENOBUFS):
				t.Error(err)
			}
		}
	}()
	const rounds = 5
	for range rounds {
		g.die(t)
		g = l.adopt(t, config)
	}
	close(stop)
	sent := <-done
	defer func() { must(t, g.Close()) }()
	stats, err := g.Stats()
	must(t, err)
	if diff := cmp.Diff(gate.Stats{AckHeld: sent}, stats); diff != "" || sent == 0 {
		t.Errorf("counters after %d packets (-want +got):\n%s", sent, diff)
	}
	if got := g.Slot(1).Egress(); got != uint32(sent) {
		t.Errorf("%d of %d packets judged", got, sent)
	}
	buf := make([]byte, 2000)
	for {
		n, _, err := unix.Recvfrom(in, buf, unix.MSG_DONTWAIT)
		if err != nil {
			break
		}
		if _, ok := parseIP(buf[14:n]); ok {
			t.Fatalf("a packet has passed: %x", buf[:n])
		}
	}
	t.Logf("%d packets", sent)
}

func packetSocket(t *testing.T) int {
	t.Helper()
	all := int(be.Uint16([]byte{byte(unix.ETH_P_ALL), byte(unix.ETH_P_ALL >> 8)}))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// TestAdoptHalf: a gate that is on some sides of some interfaces only, because its
// engine died while it attached it or while it adopted it, is whole afterwards.
func TestAdoptHalf(t *testing.T) {
	l, config := newLab(t), Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)}
	g, err := Load(config)
	must(t, err)
	must(t, g.Attach(l.a))
	must(t, g.Attach(l.lo))
	list, err := gateFilters()
	must(t, err)
	for _, f := range list {
		if f.LinkIndex == l.lo && f.side == sides[1] {
			must(t, g.nl.FilterDel(f.BpfFilter))
		}
	}
	g.die(t)
	left, err := FindStale(config.BPFFS, func(string) bool { return false })
	must(t, err)
	if diff := cmp.Diff([]string{"00000001"}, left.Attached); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	g = l.adopt(t, config)
	for _, ifindex := range []int{l.a, l.lo} {
		must(t, g.Attach(ifindex)) // changes nothing
		wantInstalled(t, ifindex, "clsact", "ftnet:00000001:in", "ftnet:00000001:out")
	}
	must(t, g.Close())
	wantInstalled(t, l.a)
	wantInstalled(t, l.lo)
}

// TestAdoptRefused: what cannot be adopted stays as it is.
func TestAdoptRefused(t *testing.T) {
	l, config := newLab(t), Config{MaxConns: 4, ID: "00000001", BPFFS: ownBPFFS(t)}
	refused := func(what string, config Config, want error) {
		t.Helper()
		if _, err := Adopt(config); !errors.Is(err, want) {
			t.Errorf("adopting %s: %v", what, err)
		}
	}
	refused("nothing", config, gate.ErrNoGate)
	g, err := Load(config)
	must(t, err)
	must(t, g.Attach(l.a))
	g.engine.layout.Add(1)
	g.die(t)
	refused("another layout", config, gate.ErrLayout)
	refused("another engine's", Config{ID: "00000002", BPFFS: config.BPFFS}, gate.ErrNoGate)
	refused("without pins", Config{ID: "00000001"}, gate.ErrNoBPFFS)
	wantInstalled(t, l.a, "clsact", "ftnet:00000001:in", "ftnet:00000001:out")
	_, err = cleanStale(func(string) bool { return false })
	must(t, err)
	refused("what is attached nowhere", config, gate.ErrNoGate)
	cleaned(t, config.BPFFS)
}
