package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/logtest"
	"github.com/ftnet/ftnet/logserver/remote"
)

func soon(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after 20 s", what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin opens a connection that has this much stable data.
func begin(t testing.TB, l *remote.Log, n int, size int) logserver.ConnID {
	t.Helper()
	must(t, l.RegisterService(0))
	id, err := l.Open(logtest.Example(n))
	must(t, err)
	write(t, l, id, 0, size)
	return id
}

// write appends and waits until it is stable.
func write(t testing.TB, l *remote.Log, id logserver.ConnID, off int64, size int) {
	t.Helper()
	n, err := l.Write(id, off, logtest.Pattern(make([]byte, size), 1, off))
	if err != nil || n != size {
		t.Fatalf("Write of %d bytes took %d, %v", size, n, err)
	}
	stable(t, l, id, off+int64(size))
}

func stable(t testing.TB, l *remote.Log, id logserver.ConnID, want int64) {
	t.Helper()
	soon(t, fmt.Sprint(want, " bytes are stable"), func() bool {
		_, end, err := l.Length(id)
		must(t, err)
		return end >= want
	})
}

// statuses gathers what a status upcall tells.
type statuses struct {
	mu   sync.Mutex // guards list
	list []logserver.Status
}

func (s *statuses) add(status logserver.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, status)
}

func (s *statuses) has(flag logserver.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.list, func(t logserver.Status) bool { return t&flag != 0 })
}

func (s *statuses) last() logserver.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return logserver.OK
	}
	return s.list[len(s.list)-1]
}

// TestFencing: a younger log takes over a service, and the older one learns it,
// whatever it tries.
func TestFencing(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	network := &breakable{dial: b.dial}
	cfg := b.client
	cfg.Dial = network.connect
	old := b.openWith(cfg)
	defer old.Close()
	var told statuses
	old.SetStatusUpcall(told.add)
	id := begin(t, old, 1, 1000)

	cfg = b.client
	cfg.Services = []string{logtest.Example(1).Service}
	young := b.openWith(cfg)
	defer young.Close()
	soon(t, "the older one is told", func() bool { return told.last()&logserver.Failed != 0 })
	fenced := func() {
		t.Helper()
		if _, err := old.Write(id, 1000, []byte("x")); !errors.Is(err, logserver.ErrFenced) {
			t.Errorf("Write: %v", err)
		}
		if _, err := old.Open(logtest.Example(2)); !errors.Is(err, logserver.ErrFenced) {
			t.Errorf("Open: %v", err)
		}
		if old.Status()&logserver.Failed == 0 {
			t.Errorf("status is %v", old.Status())
		}
	}
	fenced()
	list, err := young.Active(0, 10)
	must(t, err)
	if len(list) != 1 || list[0].ID != id {
		t.Fatalf("Active tells %v", list)
	}
	write(t, young, id, 1000, 500)
	p := make([]byte, 2000)
	if n, err := old.Read(id, p, 0); err != nil || n != 1000 {
		t.Errorf("the older one reads %d bytes, %v", n, err) // what it knew to be stable
	}

	// Nor is it better off after a reconnect, or when the server has restarted
	// and met it first.
	network.cut()
	soon(t, "reconnect", func() bool { return told.has(logserver.Unreachable) && old.Status()&logserver.Unreachable == 0 })
	fenced()
	b.stop()
	b.start()
	soon(t, "both are back", func() bool {
		return (old.Status()|young.Status())&logserver.Unreachable == 0
	})
	fenced()
	write(t, young, id, 1500, 500)
	must(t, old.Delete(id)) // forgets it only here
	if n := young.NumActive(); n != 1 {
		t.Errorf("%d connections", n)
	}
	must(t, young.Delete(id))
}

// breakable is a network that a test breaks.
type breakable struct {
	dial   func(context.Context) (net.Conn, error)
	frozen atomic.Bool // nothing arrives, and nobody is told

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func (n *breakable) connect(ctx context.Context) (net.Conn, error) {
	if n.frozen.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	conn, err := n.dial(ctx)
	if err == nil {
		conn = &frozenConn{conn, n}
		n.mu.Lock()
		n.conns = append(n.conns, conn)
		n.mu.Unlock()
	}
	return conn, err
}

func (n *breakable) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		conn.Close()
	}
	n.conns = nil
}

type frozenConn struct {
	net.Conn
	n *breakable
}

func (c *frozenConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.n.frozen.Load() {
			return n, err
		}
	}
}

func (c *frozenConn) Write(p []byte) (int, error) {
	if c.n.frozen.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestFrozen: a network that swallows everything is noticed in a while, and
// nothing is lost.
func TestFrozen(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	b.stop()
	b.server.Silence = 300 * time.Millisecond
	b.start()
	network := &breakable{dial: b.dial}
	cfg := b.client
	cfg.Dial, cfg.Silence, cfg.DialTimeout = network.connect, 300*time.Millisecond, 300*time.Millisecond
	l := b.openWith(cfg)
	defer l.Close()
	id := begin(t, l, 1, 1000)
	network.frozen.Store(true)
	if n, err := l.Write(id, 1000, logtest.Pattern(make([]byte, 1000), 1, 1000)); n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	began := time.Now()
	soon(t, "it is noticed", func() bool { return l.Status()&logserver.Unreachable != 0 })
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("noticed after %v", d)
	}
	network.frozen.Store(false)
	stable(t, l, id, 2000)
}

// TestUnreachable: without a server the log says so, and begins when there is
// one.
func TestUnreachable(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	b.stop()
	cfg := b.client
	cfg.Timeout, cfg.CloseTimeout = 50*time.Millisecond, 50*time.Millisecond
	l, err := remote.Dial(cfg)
	must(t, err)
	var told statuses
	l.SetStatusUpcall(told.add)
	must(t, l.RegisterService(0))
	if s := l.Status(); s != logserver.Unreachable {
		t.Errorf("status is %v", s)
	}
	_, err = l.Open(logtest.Example(1))
	_, activeErr := l.Active(0, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for _, err := range []error{err, activeErr, l.Wait(ctx)} {
		if !errors.Is(err, logserver.ErrUnreachable) {
			t.Error(err)
		}
	}
	b.start()
	must(t, l.Wait(context.Background()))
	id := begin(t, l, 1, 1000)
	if told.last() != logserver.OK || l.Status() != logserver.OK {
		t.Errorf("status is %v, told %v", l.Status(), told.list)
	}

	b.stop()
	soon(t, "it is told", func() bool { return told.last() == logserver.Unreachable })
	if n, err := l.Write(id, 1000, make([]byte, 10)); n != 10 || err != nil {
		t.Error(n, err)
	}
	other, err := l.Open(logtest.Example(2)) // has a number of its own
	must(t, err)
	must(t, l.Discard(id, 500))
	b.start()
	stable(t, l, id, 1010)
	write(t, l, other, 0, 10)
	if from, _, err := b.store.Length(id); err != nil || from != 500 {
		t.Errorf("the store has data from %d, %v", from, err)
	}

	b.stop()
	soon(t, "it is told", func() bool { return told.last() == logserver.Unreachable })
	_, err = l.Write(id, 1010, []byte("x"))
	must(t, err)
	if err := l.Close(); !errors.Is(err, logserver.ErrUnreachable) {
		t.Errorf("Close with data that is not stable: %v", err)
	}

	never, err := remote.Dial(b.client)
	must(t, err)
	must(t, never.Close())
}

// TestBounded: what waits for the server is bounded.
func TestBounded(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	cfg := b.client
	cfg.Buffer = 100_000
	l := b.openWith(cfg)
	defer l.Close()
	id := begin(t, l, 1, 1000)
	b.stop()
	soon(t, "it is noticed", func() bool { return l.Status()&logserver.Unreachable != 0 })
	n, err := l.Write(id, 1000, logtest.Pattern(make([]byte, 200_000), 1, 1000))
	q, ok := errors.AsType[*logserver.QuotaError](err)
	if n != 100_000 || !ok || q.Scope != logserver.ScopeBuffer {
		t.Errorf("Write took %d, %v", n, err)
	}
	if room, err := l.Room(id); room != 0 || err != nil {
		t.Errorf("Room is %d, %v", room, err)
	}
	b.start()
	stable(t, l, id, 101_000)
	if room, err := l.Room(id); room != 100_000 || err != nil {
		t.Errorf("Room is %d, %v", room, err)
	}
}

// TestStoreEmptied: the server comes back with nothing. What was stable is
// lost, and told so; what was not goes on.
func TestStoreEmptied(t *testing.T) {
	lazyStore := newLazy(t, logtest.Limits{})
	lost := make(chan []logserver.ConnID, 10)
	b := startLab(t, &lab{TB: t, store: lazyStore, server: logd.Config{Insecure: true}, client: remote.Config{
		Insecure: true, Lost: func(ids []logserver.ConnID) { lost <- ids },
	}})
	l := b.open()
	defer l.Close()
	must(t, l.RegisterService(0))
	gone, err := l.Open(logtest.Example(1))
	must(t, err)
	_, err = l.Write(gone, 0, []byte("hello"))
	must(t, err)
	soon(t, "the data is stable", func() bool {
		lazyStore.flush(100)
		_, end, err := l.Length(gone)
		must(t, err)
		return end == 5
	})
	kept, err := l.Open(logtest.Example(2))
	must(t, err)
	_, err = l.Write(kept, 0, []byte("hello"))
	must(t, err)
	must(t, l.WriteReads(kept, 5))
	must(t, l.Finish(kept, 5))
	soon(t, "it is taken", func() bool { return lazyStore.NumActive() == 2 })

	b.stop()
	lazyStore.wipe()
	b.start()
	select {
	case ids := <-lost:
		if !slices.Equal(ids, []logserver.ConnID{gone}) {
			t.Errorf("lost are %v, want %v", ids, gone)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is told to be lost")
	}
	if _, err := l.Write(gone, 5, []byte("x")); !errors.Is(err, logserver.ErrNoConn) {
		t.Errorf("Write to what is lost: %v", err)
	}
	if l.Status()&logserver.Other == 0 {
		t.Errorf("status is %v", l.Status())
	}
	soon(t, "the other one is stable", func() bool {
		lazyStore.flush(100)
		_, end, err := l.Length(kept)
		must(t, err)
		return end == 5
	})
	if l.Status() != logserver.OK {
		t.Errorf("status is %v", l.Status())
	}
	runs, err := l.Reads(kept)
	if err != nil || len(runs) != 1 {
		t.Errorf("reads are %v, %v", runs, err)
	}
}

// TestStoreFull: the store is filled by somebody else behind this log's back.
// What it has taken is not lost, and becomes stable when there is room.
func TestStoreFull(t *testing.T) {
	b := newLab(t, logtest.Limits{QuotaTotal: 4 << 20})
	l, other := b.open(), b.open()
	defer other.Close()
	must(t, other.RegisterService(0))
	id := begin(t, l, 1, 1000)
	// The store is filled without a word to the clients.
	m := logtest.Example(2)
	m.ID, m.Service = 1<<32|1, "other"
	filler, err := b.store.Open(m)
	must(t, err)
	filled, err := b.store.Write(filler, 0, make([]byte, 4<<20))
	if filled == 0 || !errors.Is(err, logserver.ErrQuota) {
		t.Fatal(filled, err)
	}
	const size = 500_000
	taken, err := l.Write(id, 1000, logtest.Pattern(make([]byte, size), 1, 1000))
	if taken != size || err != nil {
		t.Fatalf("Write took %d, %v", taken, err)
	}
	var late []logserver.ConnID
	for n := range 20 {
		id, err := l.Open(logtest.Example(10 + n))
		if errors.Is(err, logserver.ErrQuota) {
			break // it has learned that there is no room
		}
		must(t, err)
		late = append(late, id)
	}
	soon(t, "Room tells it", func() bool { room, err := l.Room(id); must(t, err); return room == 0 })
	if _, end, _ := l.Length(id); end >= 1000+size {
		t.Fatal("the store was not full")
	}
	must(t, b.store.Delete(filler))
	stable(t, l, id, 1000+size)
	for _, id := range late {
		write(t, l, id, 0, 100)
	}
	must(t, l.Close())
	got := make([]byte, 1000+size)
	n, err := b.store.Read(id, got, 0)
	if err != nil || n != len(got) || !slices.Equal(got, logtest.Pattern(make([]byte, len(got)), 1, 0)) {
		t.Errorf("the store has %d bytes, %v, or others", n, err)
	}
}

// TestBlocks: when the numbers run out there are others.
func TestBlocks(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	l := b.open()
	defer l.Close()
	first := begin(t, l, 1, 100)
	blocks := map[logserver.ConnID]bool{first >> 32: true}
	for n := range 12 {
		remote.SkipNumbers(l)
		id := begin(t, l, 2*n, 100)
		soon(t, "another block", func() bool {
			next, err := l.Open(logtest.Example(2*n + 1))
			must(t, err)
			return next>>32 != id>>32
		})
		blocks[id>>32] = true
		if n%3 == 0 {
			b.stop()
			b.start()
		}
	}
	if len(blocks) < 12 {
		t.Errorf("%d blocks", len(blocks))
	}
	write(t, l, first, 100, 100)
}

// TestRestartTLS: a session outlives the server's process: its numbers go on.
func TestRestartTLS(t *testing.T) {
	b := newSecureLab(t, logtest.Limits{})
	l := b.open()
	defer l.Close()
	first := begin(t, l, 1, 1000)
	b.stop()
	soon(t, "it is noticed", func() bool { return l.Status()&logserver.Unreachable != 0 })
	second, err := l.Open(logtest.Example(2))
	must(t, err)
	b.start()
	write(t, l, second, 0, 1000)
	write(t, l, first, 1000, 1000)
	third := begin(t, l, 3, 10)
	if second != first+1 || third != second+1 {
		t.Errorf("numbers %x, %x, %x", first, second, third)
	}
}
