package kernel

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/rawio/gate"
)

// TestAdoptReleases: how an unmodified server ended while there was no engine is
// known to the next, and after it has taken over it is told once.
func TestAdoptReleases(t *testing.T) {
	for _, way := range ways {
		for name, again := range map[string]bool{"inherited": false, "watched again": true} {
			t.Run(way.name+"/"+name, func(t *testing.T) { adoptedReleases(t, newLab(t), way.bpffs(t), again) })
		}
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

	g := l.adopt(t, Config{ID: heirID, BPFFS: bpffs}, childID)
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

// TestForsaken: an engine of another network namespace is dead when it has given no
// sign of life for very long.
func TestForsaken(t *testing.T) {
	l := newLab(t)
	g, err := Load(Config{MaxConns: 4, ID: "0000dead"})
	must(t, err)
	must(t, g.WatchReleases())
	living := func(id string) bool { return id != "0000dead" }
	for _, want := range []bool{false, true} {
		l.atClient(t, func() { _, err = Left("", living) })
		must(t, err)
		if n := watchers(t); n != 1 {
			t.Errorf("looking has left %d programs", n)
		}
		var gone Leftovers
		l.atClient(t, func() { gone, err = Clean("", living) })
		must(t, err)
		if got := slices.Contains(gone.Attached, "0000dead"); got != want {
			t.Errorf("taken away: %v, want %v", got, want)
		}
		g.engine.beat.Add(^uint64(forsaken + 1<<30))
	}
	if n := watchers(t); n != 0 {
		t.Errorf("%d programs watch", n)
	}
	if err := g.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// watchers counts the programs that watch releases for an engine in this network
// namespace.
func watchers(t *testing.T) (n int) {
	t.Helper()
	own, err := netnsCookie()
	must(t, err)
	must(t, watchingPrograms(func(w watcher) error {
		if w.netns == own {
			n++
		}
		return w.prog.Close()
	}))
	return n
}

// TestCleanReleases: what an engine left that is gone is found and taken away, what
// a living one has is not.
func TestCleanReleases(t *testing.T) {
	l := newLab(t)
	for _, id := range []string{"00000001", "00000002"} {
		g, err := Load(Config{MaxConns: 4, ID: id})
		must(t, err)
		must(t, g.Attach(l.a))
		must(t, g.WatchReleases())
		g.die(t)
	}
	if n := watchers(t); n != 2 {
		t.Fatalf("%d programs watch for dead engines, want 2", n)
	}
	for _, alive := range []string{"00000002", ""} {
		ids, err := cleanStale(func(id string) bool { return id == alive })
		must(t, err)
		want, left := "00000001", 1
		if alive == "" {
			want, left = "00000002", 0
		}
		if diff := cmp.Diff([]string{want}, ids); diff != "" {
			t.Errorf("removed (-want +got):\n%s", diff)
		}
		if n := watchers(t); n != left {
			t.Errorf("%d programs watch, want %d", n, left)
		}
	}
}
