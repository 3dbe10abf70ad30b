package logtest

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ftnet/ftnet/logserver"
)

var (
	byAddr    = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	logFields = cmpopts.IgnoreFields(logserver.Meta{}, "ID", "Created", "Modified")
)

func testMeta(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	began := time.Now().Add(-time.Second)
	want := Example(1)
	given := want
	given.Handshake = slices.Clone(want.Handshake)
	id, err := b.Open(given)
	b.must(err)
	clear(given.Handshake) // the log must have copied them
	b.await("metadata", func() bool { return b.meta[id] == 1 })

	got, err := b.Meta(id)
	b.must(err)
	if diff := cmp.Diff(want, got, byAddr, logFields); diff != "" || got.ID != id || id == 0 {
		t.Errorf("Meta of %d (-want +got):\n%s", id, diff)
	}
	if got.Created.Before(began) || got.Modified.Before(got.Created) || time.Since(got.Created) > time.Minute {
		t.Errorf("created %v, modified %v", got.Created, got.Modified)
	}

	want.ID, want.Handshake, want.Tag = id, []byte{1}, want.Tag+1
	want.Output = logserver.Output{Acked: 5 << 32, Closed: true, End: 1 << 41}
	b.must(b.Update(want))
	b.await("updated metadata", func() bool { return b.meta[id] > 1 && b.tags[id] == want.Tag })
	got, err = b.Meta(id)
	b.must(err)
	if diff := cmp.Diff(want, got, byAddr, logFields); diff != "" {
		t.Errorf("after Update (-want +got):\n%s", diff)
	}

	v6 := logserver.Meta{Flow: logserver.Flow{
		Client: netip.MustParseAddrPort("[fe80::1%eth0]:4000"),
		Server: netip.MustParseAddrPort("[2001:db8::1]:7000"),
	}}
	id, err = b.Open(v6)
	b.must(err)
	got, err = b.Meta(id)
	b.must(err)
	if got.Flow != v6.Flow || len(got.Handshake) != 0 {
		t.Errorf("Meta is %+v, want flow %v and no handshake", got, v6.Flow)
	}
}

func testRegister(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	other := Example(1)
	other.Server = netip.AddrPortFrom(Server.Addr(), Server.Port()+1)
	_, err := b.Open(other)
	b.is(err, logserver.ErrNotRegistered)
	b.must(b.RegisterService(other.Server.Port()))
	_, err = b.Open(other)
	b.must(err)
	b.must(b.RegisterService(0))
	other.Server = netip.AddrPortFrom(Server.Addr(), 9)
	_, err = b.Open(other)
	b.must(err)
}

func testQuery(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	var ids []logserver.ConnID
	for n := range 10 {
		ids = append(ids, b.open(n))
	}
	list := func(metas []logserver.Meta, err error) []logserver.ConnID {
		t.Helper()
		b.must(err)
		var got []logserver.ConnID
		for _, m := range metas {
			got = append(got, m.ID)
		}
		return got
	}
	check := func(got, want []logserver.ConnID) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
	check(list(b.Active(0, 4)), ids[:4])
	check(list(b.Active(4, 100)), ids[4:])
	check(list(b.Active(10, 1)), nil)
	check(list(b.Active(99, 1)), nil)
	b.must(b.Delete(ids[3]))
	check(list(b.Active(2, 2)), []logserver.ConnID{ids[2], ids[4]})
	if n := b.NumActive(); n != 9 {
		t.Errorf("NumActive is %d, want 9", n)
	}
	check(list(logserver.Lookup(b.Log, Example(5).Client)), ids[5:6])
	check(list(logserver.Lookup(b.Log, Server)), slices.Delete(slices.Clone(ids), 3, 4))
	check(list(logserver.Lookup(b.Log, Example(3).Client)), nil)
	if next := b.open(3); slices.Contains(ids, next) {
		t.Errorf("number %d was given out again", next)
	}
}

func testWrite(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	data := pattern(3<<20+17, 1, 0)
	b.holds(id, 0, nil)
	p := slices.Clone(data[:100])
	b.write(id, 0, p)
	clear(p) // the log must have copied it
	b.write(id, 100, data[100:1560])
	b.write(id, 50, data[50:2000]) // overlaps
	b.write(id, 10, data[10:20])   // nothing new
	b.refuses(id, 2001, data[2001:], 0, logserver.ErrGap)
	b.holds(id, 0, data[:2000])
	b.write(id, 2000, data[2000:2000])
	b.write(id, 2000, data[2000:])
	b.holds(id, 0, data)
	if n, err := b.Write(id, -1, data); err == nil || n != 0 {
		t.Error("a negative offset is accepted")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stable[id] != int64(len(data)) {
		t.Errorf("upcall for %d bytes, have %d", b.stable[id], len(data))
	}
}

// testTaken: what was taken counts as the end before it is stable, and the
// client's FIN becomes stable after the data before it.
func testTaken(t *testing.T, open Factory) {
	const total = 4 << 20
	b := start(t, open, Limits{QuotaTotal: total})
	id, err := b.Open(Example(1)) // nor is the metadata
	b.must(err)
	data := pattern(1<<20, 1, 0)
	for off := 0; off < 700_000; off += 7000 {
		b.take(id, int64(off), data[off:off+7000])
		if room, err := b.Room(id); err != nil || room > int64(total-off-7000) {
			t.Fatalf("Room after %d of %d bytes is %d, %v", off+7000, total, room, err)
		}
	}
	b.refuses(id, 700_001, data[700_001:], 0, logserver.ErrGap)
	b.is(b.Finish(id, 700_001), logserver.ErrGap)
	b.must(b.Finish(id, 700_000))
	b.refuses(id, 699_990, data[699_990:700_010], 10, logserver.ErrFinished)
	b.await("FIN", func() bool { return b.fin[id] })
	b.await("data before the FIN", func() bool { return b.stable[id] == 700_000 && b.meta[id] > 0 })
	b.holds(id, 0, data[:700_000])
}

func testGivenID(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	given := func(id logserver.ConnID) error {
		m := Example(int(id))
		m.ID = id
		got, err := b.Open(m)
		if err == nil && got != id {
			t.Errorf("Open gave number %d, want %d", got, id)
		}
		return err
	}
	const block = 1 << 32
	b.must(given(5*block + 7))
	b.await("metadata", func() bool { return b.meta[5*block+7] > 0 })
	b.is(given(5*block+7), logserver.ErrExists)
	b.is(given(5*block+6), logserver.ErrExists)
	b.must(given(3*block + 1)) // another block, below
	b.must(given(5*block + 8))
	b.must(given(3*block + 2))
	b.must(b.Delete(5*block + 8))
	b.is(given(5*block+8), logserver.ErrExists)
	chosen, err := b.Open(Example(1))
	b.must(err)
	if chosen <= 5*block+8 {
		t.Errorf("the log chose number %d, below one that was used", chosen)
	}
	b.is(given(chosen), logserver.ErrExists)
	m, err := b.Meta(3*block + 2)
	b.must(err)
	if m.ID != 3*block+2 || b.NumActive() != 4 {
		t.Errorf("Meta tells number %d, %d connections are active", m.ID, b.NumActive())
	}
	b.write(3*block+1, 0, []byte("hello"))
	b.holds(3*block+1, 0, []byte("hello"))
}

func testFinish(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	b.write(id, 0, []byte("hello"))
	b.is(b.Finish(id, 6), logserver.ErrGap)
	b.is(b.Finish(id, 4), logserver.ErrFinished)
	b.must(b.Finish(id, 5))
	b.await("FIN", func() bool { return b.fin[id] })
	b.must(b.Finish(id, 5))
	b.take(id, 0, []byte("hello")) // a retransmission
	b.refuses(id, 3, []byte("lo!"), 2, logserver.ErrFinished)
	b.holds(id, 0, []byte("hello"))
	m, err := b.Meta(id)
	b.must(err)
	if !m.Finished {
		t.Error("Meta does not tell that the client has finished")
	}
	if room, err := b.Room(id); room != 0 || err != nil {
		t.Errorf("Room after the FIN is %d, %v", room, err)
	}
	empty := b.open(2)
	b.must(b.Finish(empty, 0))
	b.await("FIN of an empty stream", func() bool { return b.fin[empty] })
}

func testReadRanges(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	data := pattern(200_000, 1, 0)
	for off := 0; off < len(data); off += 1460 {
		b.take(id, int64(off), data[off:min(off+1460, len(data))])
	}
	b.await("data", func() bool { return b.stable[id] == int64(len(data)) })
	for _, off := range []int64{0, 1, 255, 256, 257, 1459, 1460, 65535, 65536, 131071, 199_999, 200_000, 200_001, 1 << 40} {
		for _, n := range []int{0, 1, 300, 70_000, 300_000} {
			p := make([]byte, n)
			got, err := b.Read(id, p, off)
			b.must(err)
			from := min(off, int64(len(data)))
			want := data[from:min(from+int64(n), int64(len(data)))]
			if !slices.Equal(p[:got], want) {
				t.Fatalf("Read of %d at %d: %d bytes, want %d, or other ones", n, off, got, len(want))
			}
		}
	}
	if _, err := b.Read(id, make([]byte, 1), -1); err == nil {
		t.Error("a negative offset is accepted")
	}
}

// expand tells runs one by one.
func expand(runs []logserver.ReadRun) []uint32 {
	var lengths []uint32
	for _, r := range runs {
		for range r.Count {
			lengths = append(lengths, r.Length)
		}
	}
	return lengths
}

func (b *bed) reads(id logserver.ConnID, want ...uint32) {
	b.Helper()
	runs, err := b.Reads(id)
	b.must(err)
	if diff := cmp.Diff(want, expand(runs), cmpopts.EquateEmpty()); diff != "" {
		b.Fatalf("reads (-want +got):\n%s", diff)
	}
}

func testReads(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	b.reads(id)
	b.must(b.WriteReads(id, 5))
	b.must(b.WriteReads(id, 5, 5, 7, 1<<31, 7))
	b.must(b.WriteReads(id))
	b.reads(id, 5, 5, 5, 7, 1<<31, 7)
	b.is(b.WriteReads(id, 3, 0), logserver.ErrInvalid)
	b.reads(id, 5, 5, 5, 7, 1<<31, 7)
}

// testRebase: the base moves forward only, all of it at once.
func testRebase(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	b.write(id, 0, pattern(1000, 1, 0))
	is := func(want logserver.Base) {
		t.Helper()
		m, err := b.Meta(id)
		b.must(err)
		if diff := cmp.Diff(want, m.Base, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("base (-want +got):\n%s", diff)
		}
		from, end, err := b.Length(id)
		b.must(err)
		if from != want.In || end != 1000 {
			t.Fatalf("Length is %d to %d", from, end)
		}
	}
	is(logserver.Base{})
	state := pattern(logserver.MaxState/4, 2, 0)
	given := slices.Clone(state)
	b.must(b.Rebase(id, logserver.Base{Out: 1 << 40, State: given}))
	clear(given) // the log must have copied it
	want := logserver.Base{Out: 1 << 40, State: state}
	is(want)
	b.must(b.Rebase(id, logserver.Base{In: 5}))                                    // its Out lies before
	b.must(b.Rebase(id, logserver.Base{Out: 1 << 40, State: []byte("another")}))   // the same place
	b.is(b.Rebase(id, logserver.Base{In: 1001, Out: 1 << 40}), logserver.ErrGap)   // beyond what is stable
	b.is(b.Rebase(id, logserver.Base{In: -1, Out: 1 << 41}), logserver.ErrInvalid) //
	b.is(b.Rebase(id, logserver.Base{In: 1, Out: -1}), logserver.ErrInvalid)       //
	long := logserver.Base{In: 1, Out: 1 << 41, State: make([]byte, logserver.MaxState+1)}
	b.is(b.Rebase(id, long), logserver.ErrInvalid)
	is(want)
	want = logserver.Base{In: 1000, Out: 1<<40 + 1, State: []byte("state")}
	b.must(b.Rebase(id, want))
	update := Example(1)
	update.ID, update.Base = id, logserver.Base{In: 3} // which is the log's to fill
	b.must(b.Update(update))
	is(want)
	list, err := b.Active(0, 1)
	b.must(err)
	if len(list) != 1 || list[0].Base.In != want.In || list[0].Base.Out != want.Out || list[0].Base.State != nil {
		t.Errorf("Active tells %+v", list)
	}
	want = logserver.Base{In: 1000, Out: 1<<40 + 2}
	b.must(b.Rebase(id, want))
	is(want)
}

func testDiscard(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	data := pattern(3<<20, 1, 0)
	b.write(id, 0, data[:1<<20])
	for _, through := range []int64{0, 1, 300, 299, 70_000, 1 << 20} {
		b.must(b.Rebase(id, logserver.Base{In: through}))
		through = max(through, 300*min(through/299, 1)) // 299 after 300 changes nothing
		b.holds(id, through, data[through:1<<20])
		if through > 0 {
			_, err := b.Read(id, make([]byte, 10), through-1)
			b.is(err, logserver.ErrDiscarded)
		}
	}
	b.is(b.Rebase(id, logserver.Base{In: 1<<20 + 1}), logserver.ErrGap)
	b.write(id, 1<<20-500, data[1<<20-500:]) // overlaps what was discarded
	b.holds(id, 1<<20, data[1<<20:])
}

func testDiscardReads(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	b.write(id, 0, pattern(1000, 1, 0))
	b.must(b.WriteReads(id, 100, 100, 100, 30, 70))
	b.must(b.Rebase(id, logserver.Base{In: 100}))
	b.reads(id, 100, 100, 30, 70)
	b.must(b.Rebase(id, logserver.Base{In: 150})) // straddles
	b.reads(id, 50, 100, 30, 70)
	b.must(b.Rebase(id, logserver.Base{In: 310}))
	b.reads(id, 20, 70)
	b.must(b.Rebase(id, logserver.Base{In: 500})) // beyond all reads told so far
	b.reads(id)
	b.must(b.WriteReads(id, 50, 100, 9)) // 400..450, ..550, ..559
	b.reads(id, 50, 9)
}

func testErrors(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	long := Example(2)
	long.Handshake = make([]byte, logserver.MaxHandshake+1)
	_, err := b.Open(long)
	b.is(err, logserver.ErrInvalid)
	long = Example(3)
	long.Service = strings.Repeat("s", logserver.MaxService+1)
	_, err = b.Open(long)
	b.is(err, logserver.ErrInvalid)
	long.ID = id
	b.is(b.Update(long), logserver.ErrInvalid)
	_, err = b.Active(-1, 1)
	b.is(err, logserver.ErrInvalid)
	b.must(b.Delete(id))
	for _, id := range []logserver.ConnID{0, id, id + 1, 1 << 63} {
		for name, call := range calls(b.Log, id) {
			switch name {
			case "RegisterService", "Open", "Active", "Lookup":
				continue // ask for no particular connection
			}
			if err := call(); !isNoConn(err) {
				t.Errorf("%s of connection %d: %v", name, id, err)
			}
		}
	}
}
