package logtest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ftnet/ftnet/logserver"
)

// Reopener opens the log that is kept in a directory of the test's, or of which
// something there tells where it is kept. It is called again for the same
// directory after the log was closed.
type Reopener func(t testing.TB, dir string, limits Limits) logserver.Log

// RunPersistent tests what Log promises of a log that outlives its process: all
// that was taken is there when it was closed and is opened again.
func RunPersistent(t *testing.T, open Reopener) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Reopener)
	}{
		{"ReopenContents", testReopenContents},
		{"ReopenGoesOn", testReopenGoesOn},
		{"ReopenNumbers", testReopenNumbers},
		{"ReopenQuota", testReopenQuota},
		{"ReopenModel", testReopenModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// reopen closes the log of a bed and opens it again.
func (b *bed) reopen(open Reopener, dir string, limits Limits) *bed {
	b.Helper()
	b.must(b.Close())
	again := newBed(b.T, open(b.T, dir, limits))
	return again
}

func testReopenContents(t *testing.T, open Reopener) {
	dir := t.TempDir()
	b := newBed(t, open(t, dir, Limits{}))
	data := pattern(300_000, 1, 0)
	sizes := []int{0, 1, 100, 65536, 300_000, 2000, 2000}
	var ids []logserver.ConnID
	var metas []logserver.Meta
	for n, size := range sizes {
		id := b.open(n)
		ids = append(ids, id)
		for off := 0; off < size; off += 1448 {
			b.take(id, int64(off), data[off:min(off+1448, size)])
		}
	}
	b.must(b.WriteReads(ids[4], 100, 100, 70_000))
	b.must(b.Finish(ids[2], 100))
	b.must(b.Finish(ids[0], 0))
	b.await("stable data", func() bool { return b.stable[ids[4]] == 300_000 && b.stable[ids[5]] == 2000 })
	b.must(b.Rebase(ids[4], logserver.Base{In: 150, Out: 99, State: []byte("state")}))
	b.must(b.Delete(ids[5]))
	update := Example(3)
	update.ID, update.Handshake, update.Tag = ids[3], []byte("another"), 77
	b.must(b.Update(update))
	for _, id := range ids {
		m, _ := b.Meta(id)
		m.Base.State = nil // which Active leaves out
		metas = append(metas, m)
	}
	b.take(ids[6], 2000, data[2000:3000]) // Close makes it stable

	for round := range 3 {
		b = b.reopen(open, dir, Limits{})
		list, err := b.Active(0, 100)
		b.must(err)
		want := slices.Delete(slices.Clone(metas), 5, 6)
		byTime := cmp.Comparer(func(x, y time.Time) bool { return x.Sub(y).Abs() < time.Second })
		if diff := cmp.Diff(want, list, byAddr, byTime); diff != "" {
			t.Fatalf("round %d: Active (-want +got):\n%s", round, diff)
		}
		if n := b.NumActive(); n != len(want) {
			t.Errorf("NumActive is %d, want %d", n, len(want))
		}
		for n, size := range sizes {
			switch n {
			case 4:
				m, err := b.Meta(ids[n])
				b.must(err)
				if m.Base.In != 150 || m.Base.Out != 99 || string(m.Base.State) != "state" {
					t.Errorf("round %d: base %+v", round, m.Base)
				}
				b.holds(ids[n], 150, data[150:size])
				b.reads(ids[n], 50, 70_000)
			case 5:
				_, _, err := b.Length(ids[n])
				b.is(err, logserver.ErrNoConn)
			case 6:
				b.holds(ids[n], 0, data[:3000])
			default:
				b.holds(ids[n], 0, data[:size])
				b.reads(ids[n])
			}
		}
		found, err := logserver.Lookup(b.Log, Example(2).Client)
		b.must(err)
		if len(found) != 1 || found[0].ID != ids[2] || !found[0].Finished {
			t.Errorf("Lookup tells %+v", found)
		}
	}
}

// testReopenGoesOn: a connection of an earlier process is a connection.
func testReopenGoesOn(t *testing.T, open Reopener) {
	dir := t.TempDir()
	b := newBed(t, open(t, dir, Limits{}))
	data := pattern(100_000, 1, 0)
	id, gone, ended := b.open(1), b.open(2), b.open(3)
	b.write(id, 0, data[:10_000])
	b.write(gone, 0, data[:5000])
	b.write(ended, 0, data[:10])
	b.must(b.Finish(ended, 10))
	b.must(b.WriteReads(id, 10, 10))

	b = b.reopen(open, dir, Limits{})
	list, err := b.Active(0, 10)
	b.must(err)
	if len(list) != 3 {
		t.Fatalf("Active tells %d connections", len(list))
	}
	m := list[0]
	m.Tag = 4711
	b.must(b.Update(m))
	b.await("updated metadata", func() bool { return b.meta[id] > 0 && b.tags[id] == 4711 })
	b.refuses(id, 10_001, data[10_001:], 0, logserver.ErrGap)
	b.write(id, 9_000, data[9_000:50_000])
	b.must(b.WriteReads(id, 10, 20))
	b.refuses(ended, 9, data[9:20], 1, logserver.ErrFinished)
	b.must(b.Finish(ended, 10))
	b.is(b.Finish(ended, 9), logserver.ErrFinished)
	b.must(b.Delete(gone))
	b.must(b.Rebase(id, logserver.Base{In: 15}))
	b.mu.Lock()
	if b.tags[id] != 4711 {
		t.Errorf("upcall with tag %d", b.tags[id])
	}
	b.mu.Unlock()

	b = b.reopen(open, dir, Limits{})
	b.holds(id, 15, data[15:50_000])
	b.reads(id, 5, 10, 20)
	b.must(b.Finish(id, 50_000))
	b.await("FIN", func() bool { return b.fin[id] })
	if n := b.NumActive(); n != 2 {
		t.Errorf("NumActive is %d, want 2", n)
	}
	b.must(b.Delete(id))
	b.must(b.Delete(ended))
	empties(t, b.Log)
	b = b.reopen(open, dir, Limits{})
	if n := b.NumActive(); n != 0 {
		t.Errorf("NumActive is %d, want 0", n)
	}
	empties(t, b.Log)
}

// testReopenNumbers: a number is used once, whatever became of its connection.
func testReopenNumbers(t *testing.T, open Reopener) {
	const block = 1 << 32
	dir := t.TempDir()
	b := newBed(t, open(t, dir, Limits{}))
	used := map[logserver.ConnID]bool{}
	var highest logserver.ConnID
	chosen := func(n int) {
		t.Helper()
		id := b.open(n)
		if used[id] || id <= highest {
			t.Fatalf("number %d is given out after %d", id, highest)
		}
		used[id], highest = true, id
		if n%2 == 0 {
			b.must(b.Delete(id))
		}
	}
	given := func(id logserver.ConnID) error {
		m := Example(9)
		m.ID = id
		_, err := b.Open(m)
		highest = max(highest, id)
		return err
	}
	for n := range 4 {
		chosen(n)
	}
	b.must(given(2*block + 5))
	b.must(b.Delete(2*block + 5))
	b = b.reopen(open, dir, Limits{})
	b.is(given(2*block+5), logserver.ErrExists)
	b.is(given(2*block+4), logserver.ErrExists)
	b.must(given(2*block + 6))
	for n := range 4 {
		chosen(n)
	}
	b = b.reopen(open, dir, Limits{})
	b.must(given(1*block + 1)) // a block that was not used
	chosen(1)
}

// testReopenQuota: what is there counts.
func testReopenQuota(t *testing.T, open Reopener) {
	const size = 1 << 20
	dir := t.TempDir()
	limits := Limits{QuotaTotal: 8 << 20, LowSpace: 2 << 20}
	b := newBed(t, open(t, dir, limits))
	data := pattern(size, 1, 0)
	var ids []logserver.ConnID
	for n := range 3 {
		ids = append(ids, b.open(n))
		b.write(ids[n], 0, data)
	}
	before, _ := b.Usage()
	b = b.reopen(open, dir, limits)
	if used, limit := b.Usage(); used < 3*size || limit != limits.QuotaTotal {
		t.Errorf("Usage is %d of %d, was %d", used, limit, before)
	}
	soon(t, "low space", func() bool { return b.Status()&logserver.LowSpace != 0 })
	n, err := b.Write(ids[0], size, make([]byte, limits.QuotaTotal-2*size))
	b.quota(err, logserver.ScopeTotal)
	if n == 0 || int64(n) > limits.QuotaTotal-3*size {
		t.Errorf("Write took %d bytes, want at most %d", n, limits.QuotaTotal-3*size)
	}
	for _, id := range ids {
		b.must(b.Delete(id))
	}
	empties(t, b.Log)
	soon(t, "enough space", func() bool { return b.Status() == logserver.OK })
}

// testReopenModel is the model test, in which the log is closed and opened
// again now and then.
func testReopenModel(t *testing.T, open Reopener) {
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		first := func(t testing.TB, limits Limits) logserver.Log { return open(t, dir, limits) }
		modelRun(t, r, first, func(l logserver.Log, limits Limits) logserver.Log {
			if err := l.Close(); err != nil {
				r.Fatalf("Close: %v", err)
			}
			return open(t, dir, limits)
		})
	})
}
