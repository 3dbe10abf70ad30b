package logtest

import (
	"testing"

	"github.com/ftnet/ftnet/logserver"
)

// RunLosing tests what Log promises of a log that can lose connections. After cut it can't
// be reached, and takes what it is given all the same; after back it can, and has lost all
// that was stable. What was not stable it still has.
func RunLosing(t *testing.T, open func(t testing.TB) (l logserver.Log, cut, back func())) {
	l, cut, back := open(t)
	b := newBed(t, l)
	b.loses = true
	data := pattern(1000, 1, 0)
	idle, busy, deleted := b.open(1), b.open(2), b.open(3)
	for _, id := range []logserver.ConnID{idle, busy, deleted} {
		b.write(id, 0, data[:500])
	}
	cut()
	young, err := b.Open(Example(4))
	b.must(err)
	b.take(young, 0, data)
	b.take(busy, 500, data[500:])
	b.must(b.Delete(deleted))
	back()

	b.await("they are gone", func() bool { return b.gone[idle] && b.gone[busy] })
	b.await("what was not lost", func() bool { return b.stable[young] == 1000 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.gone) != 4 || b.gone[young] || b.gone[deleted] {
		t.Errorf("gone are %v, which must be %d and %d", b.gone, idle, busy)
	}
	for n, id := range []logserver.ConnID{idle, busy} {
		if got, want := b.tags[id], Example(n+1).Tag; got != want {
			t.Errorf("connection %d has tag %d, want %d", id, got, want)
		}
		_, err := b.Write(id, 500, data[500:501])
		b.is(err, logserver.ErrNoConn)
	}
}
