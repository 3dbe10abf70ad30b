package remote_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// TestStoreEmptied: the server comes back with nothing. What was stable is
// lost, and told so; what was not goes on.
func TestStoreEmptied(t *testing.T) {
	lazyStore := newLazy(t, logtest.Limits{})
	lost := make(chan logserver.ConnID, 10)
	b := startLab(t, &lab{TB: t, store: lazyStore, server: logd.Config{Insecure: true}, client: remote.Config{Insecure: true}})
	l := b.open()
	l.SetUpcall(func(list []logserver.Upcall) {
		for _, u := range list {
			if u.Gone {
				lost <- u.ID
			}
		}
	})
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
	case id := <-lost:
		if id != gone {
			t.Errorf("%v is lost, want %v", id, gone)
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

// TestLosing: the server comes back with another store.
func TestLosing(t *testing.T) {
	logtest.RunLosing(t, func(t testing.TB) (l logserver.Log, cut, back func()) {
		b := newLab(t, logtest.Limits{})
		return b.open(), b.stop, func() {
			_ = b.store.Close()
			b.store = newMemory(t, logtest.Limits{})
			b.server.Store = b.store
			b.start()
		}
	})
}

// TestLostMeanwhile: the store loses a connection while the server can be reached. That is
// told when something more is said of it.
func TestLostMeanwhile(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	l := b.open()
	defer l.Close()
	gone := make(chan logserver.Upcall, 10)
	l.SetUpcall(func(list []logserver.Upcall) {
		for _, u := range list {
			if u.Gone {
				gone <- u
			}
		}
	})
	id := begin(t, l, 1, 100)
	must(t, b.store.Delete(id))
	_, err := l.Write(id, 100, []byte("x"))
	must(t, err)
	if u := <-gone; u.ID != id || u.Tag != logtest.Example(1).Tag {
		t.Errorf("%+v is gone, want %d", u, id)
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
