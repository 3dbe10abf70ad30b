package kernel

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/bpf"
)

// TestAdoptReleases: how an unmodified server ended while there was no engine is
// known to the next, and after it has taken over it is told once.
func TestAdoptReleases(t *testing.T) {
	for name, again := range map[string]bool{"inherited": false, "watched again": true} {
		t.Run(name, func(t *testing.T) { adoptedReleases(t, newLab(t), ownBPFFS(t), again) })
	}
}

func adoptedReleases(t *testing.T, l *lab, bpffs string, again bool) {
	addr := netip.MustParseAddr("10.77.0.1")
	old := startEngine(t, l.a, bpffs)
	s := startServer(t, netip.AddrPortFrom(addr, servicePort))
	var clients []*net.TCPConn
	serve := func(s *server, slot uint32, at func(order)) {
		dialed := make(chan net.Conn, 1)
		fd := l.clientSocket(t, addr)
		go func() { dialed <- connect(t, fd, addr) }()
		client := (<-dialed).(*net.TCPConn)
		t.Cleanup(func() { client.Close() })
		clients = append(clients, client)
		s.do(t, "accept")
		state, flow := liveState(t, client), flowFrom(client)
		at(order{Slot: slot, Store: &state, Bind: &flow})
	}
	old.do(t, order{Ignore: true}) // connections begin without the gate
	serve(s, 1, func(o order) { o.Watch = true; old.do(t, o) })
	old.kill()
	must(t, s.cmd.Process.Kill())
	_, _ = s.cmd.Process.Wait() // it was killed
	if got := whatComes(t, clients[0], errNothing); got != errNothing {
		t.Errorf("the client of a server that crashed without an engine sees %v", got)
	}

	g := l.adopt(t, Config{ID: childID, BPFFS: bpffs})
	defer func() {
		must(t, g.Close())
		if n := watchers(t); n != 0 {
			t.Errorf("%d programs still watch", n)
		}
	}()
	if got := g.Slot(1).Released(); got != gate.ReleasedCrashed {
		t.Errorf("released: %v", got)
	}
	must(t, g.DeleteService(servicePort))
	s = startServer(t, netip.AddrPortFrom(addr, servicePort))
	serve(s, 2, func(o order) { must(t, g.obey(o, nil)) })
	must(t, g.SetService(servicePort, gate.ServiceListen, true))
	if again {
		must(t, g.WatchReleases())
	}
	if n := watchers(t); n != 1 {
		t.Errorf("%d programs watch", n)
	}
	must(t, s.cmd.Process.Kill())
	_, _ = s.cmd.Process.Wait() // it was killed
	if got := whatComes(t, clients[1], errNothing); got != errNothing {
		t.Errorf("the client sees %v", got)
	}
	events := make([]gate.Event, 16)
	n, err := g.Events().ReadBatch(t.Context(), events)
	must(t, err)
	crashed := map[uint32]int{}
	for _, e := range events[:n] {
		if e.Kind == gate.EventCrashed {
			crashed[e.Slot]++
		}
	}
	if diff := cmp.Diff(map[uint32]int{1: 1, 2: 1}, crashed); diff != "" {
		t.Errorf("crashes by slot (-want +got):\n%s", diff)
	}
}

// watchers counts the programs that watch releases for an engine in this network
// namespace.
func watchers(t *testing.T) int {
	t.Helper()
	own, err := netnsCookie()
	must(t, err)
	return watchersOf(t, own)
}

// watchersOf counts them for the network namespace with that cookie.
func watchersOf(t *testing.T, netns uint64) (n int) {
	t.Helper()
	root, err := cgroupRoot()
	must(t, err)
	defer root.Close()
	all, err := link.QueryPrograms(link.QueryOptions{Target: int(root.Fd()), Attach: ebpf.AttachCgroupInetSockRelease})
	must(t, err)
	for _, p := range all.Programs {
		if w, ok := watchOf(p.ID); ok && w.NetNS == netns {
			n++
		}
	}
	return n
}

// watchOf returns what a program that watches releases was told to look at. Another one,
// or one that has just gone, is none.
func watchOf(id ebpf.ProgramID) (w watch, ok bool) {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return w, false
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil || info.Name != "sock_release" {
		return w, false
	}
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			continue
		}
		defer m.Close()
		if info, err := m.Info(); err == nil && info.Name == bpf.GateMapWatches {
			return w, m.Lookup(uint32(0), &w) == nil
		}
	}
	return w, false
}

// TestCleanReleases: the program of an engine that is gone goes with its pins, that of one
// whose filters stay does not.
func TestCleanReleases(t *testing.T) {
	l, bpffs := newLab(t), ownBPFFS(t)
	for _, id := range []string{"00000001", "00000002"} {
		g, err := Load(Config{MaxConns: 4, ID: id, BPFFS: bpffs})
		must(t, err)
		must(t, g.Attach(l.a))
		must(t, g.WatchReleases())
		g.die(t)
	}
	if n := watchers(t); n != 2 {
		t.Fatalf("%d programs watch for dead engines, want 2", n)
	}
	for _, c := range []struct {
		alive, gone string
		left        int
	}{{"00000002", "00000001", 1}, {"", "00000002", 0}} {
		gone, err := RemoveStale(bpffs, func(id string) bool { return id == c.alive })
		must(t, err)
		if diff := cmp.Diff(Stale{Attached: []string{c.gone}, Pins: []string{c.gone}}, gone); diff != "" {
			t.Errorf("removed (-want +got):\n%s", diff)
		}
		awaitWatchers(t, func() int { return watchers(t) }, c.left)
	}
}

// awaitWatchers waits until so many programs watch: the kernel takes one away when nobody
// has its link any more, and no sooner.
func awaitWatchers(t *testing.T, count func() int, want int) {
	t.Helper()
	for start := time.Now(); count() != want; time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d programs watch, want %d", count(), want)
		}
	}
}
