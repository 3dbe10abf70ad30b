package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
)

// heap makes a journal in ordinary memory with both sides' views of it.
func heap(t testing.TB, conns, pages int) (*Journal, *Map) {
	t.Helper()
	_, size, err := newRegion(nil, conns, pages)
	if err != nil {
		t.Fatal(err)
	}
	words := make([]uint64, size/8) // aligned
	mem := wordBytes(words)
	j, err := create(-1, mem, conns, pages)
	if err != nil {
		t.Fatal(err)
	}
	m, err := open(mem)
	if err != nil {
		t.Fatal(err)
	}
	return j, m
}

func flow(n int) Flow {
	return Flow{
		Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), uint16(n)),
		Server: netip.MustParseAddrPort("192.0.2.1:7000"),
	}
}

func accept(t testing.TB, j *Journal, m *Map, slot uint32, c policy.Compare) *Record {
	t.Helper()
	if err := j.Publish(slot, slot+1, flow(int(slot))); err != nil {
		t.Fatal(err)
	}
	return reaccept(t, m, slot, c)
}

func reaccept(t testing.TB, m *Map, slot uint32, c policy.Compare) *Record {
	t.Helper()
	rec, ok := m.Lookup(flow(int(slot)))
	if !ok {
		t.Fatal("lookup missed a published flow")
	}
	if !rec.Accept(c) {
		t.Fatal("accept failed")
	}
	return rec
}

func TestLifecycle(t *testing.T) {
	j, m := heap(t, 4, 16)
	if _, ok := m.Lookup(flow(1)); ok {
		t.Fatal("lookup found a flow before it was published")
	}
	v6 := Flow{Client: netip.MustParseAddrPort("[2001:db8::1]:1"), Server: netip.MustParseAddrPort("[2001:db8::2]:2")}
	if err := j.Publish(9, 77, v6); err != nil {
		t.Fatal(err)
	}
	if err := j.Publish(9, 78, flow(1)); !errors.Is(err, ErrSlot) {
		t.Fatalf("second Publish: %v, want ErrSlot", err)
	}
	rec, ok := m.Lookup(v6)
	if !ok || rec.Slot() != 9 || rec.Gen() != 77 {
		t.Fatalf("lookup: %v", ok)
	}
	if h, _ := j.Head(9); h.State != Bound || h.Flow != v6 || h.AcceptSeq != 0 {
		t.Fatalf("bound head: %+v", h)
	}
	if !rec.Accept(policy.CompareLength) {
		t.Fatal("accept failed")
	}
	if _, ok := m.Lookup(v6); ok {
		t.Fatal("an accepted connection is found again")
	}
	rec.RecordRead(5)
	rec.IntendLength(100)
	rec.RollbackLength(60)
	if h, _ := j.Head(9); h.State != Accepted || h.AcceptSeq != 1 || h.Written != 60 || h.ReadRecords != 1 || h.Compare != policy.CompareLength {
		t.Fatalf("accepted head: %+v", h)
	}
	rec.Closing()
	if h, _ := j.Head(9); h.State != Closing || h.Released {
		t.Fatalf("closing head: %+v", h)
	}
	rec.Release()
	j.Withdraw(9)
	if _, ok := j.Head(9); ok {
		t.Fatal("a withdrawn slot has a head")
	}
	if u := j.Usage(); u.Conns != 0 || u.PutOff != 0 {
		t.Fatalf("usage %+v", u)
	}
}

func TestMappedFlowIsTheSame(t *testing.T) {
	j, m := heap(t, 4, 0)
	if err := j.Publish(0, 1, flow(3)); err != nil {
		t.Fatal(err)
	}
	f := flow(3)
	f.Client = netip.AddrPortFrom(netip.AddrFrom16(f.Client.Addr().As16()), f.Client.Port())
	if _, ok := m.Lookup(f); !ok {
		t.Fatal("a v4-mapped address is another flow")
	}
}

// A record that a process may still write to is not given to another
// connection, however often the engine reuses the slot.
func TestWithdrawWhileHeld(t *testing.T) {
	j, m := heap(t, 2, 16)
	old := accept(t, j, m, 0, policy.CompareStrict)
	j.Withdraw(0)
	for gen := range uint32(50) {
		if err := j.Publish(0, gen, flow(0)); err != nil {
			t.Fatal(err)
		}
		old.RecordRead(1 + int(gen%7))
		old.Intend(make([]byte, 700))
		old.Commit()
		if h, _ := j.Head(0); h.ReadRecords != 0 || h.Recorded != 0 || h.State != Bound {
			t.Fatalf("the old record's owner wrote to the new one: %+v", h)
		}
		j.Withdraw(0)
	}
	if u := j.Usage(); u.PutOff != 1 {
		t.Fatalf("put off: %+v", u)
	}
	old.Release()
	for slot := range uint32(2) {
		if err := j.Publish(slot, 1, flow(int(slot))); err != nil {
			t.Fatalf("the released record did not come back: %v", err)
		}
	}
	if err := j.Publish(2, 1, flow(2)); !errors.Is(err, ErrFull) {
		t.Fatalf("third of two: %v, want ErrFull", err)
	}
}

func TestAcceptAfterWithdraw(t *testing.T) {
	j, m := heap(t, 2, 0)
	j.Publish(0, 1, flow(0))
	rec, _ := m.Lookup(flow(0))
	j.Withdraw(0)
	if rec.Accept(policy.CompareStrict) {
		t.Fatal("accepted a withdrawn connection")
	}
	j.Publish(0, 2, flow(0))
	if rec.Accept(policy.CompareStrict) {
		t.Fatal("accepted with a stale generation")
	}
}

// The index keeps working through many more insertions than it has places.
func TestIndexChurn(t *testing.T) {
	j, m := heap(t, 300, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	live := map[uint32]int{}
	for n := range 20000 {
		slot := uint32(rng.IntN(300))
		if _, ok := live[slot]; ok {
			j.Withdraw(slot)
			delete(live, slot)
		} else {
			if err := j.Publish(slot, uint32(n), flow(n)); err != nil {
				t.Fatal(err)
			}
			live[slot] = n
		}
		if n%997 == 0 {
			for slot, n := range live {
				rec, ok := m.Lookup(flow(n))
				if !ok || rec.Slot() != slot {
					t.Fatalf("slot %d: lookup %v", slot, ok)
				}
			}
		}
	}
	if j.entries != uint32(len(live)) {
		t.Fatalf("%d entries for %d connections", j.entries, len(live))
	}
}

func TestReadLengths(t *testing.T) {
	j, m := heap(t, 4, 64)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	var want []int
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		n := 1 + rng.IntN(MaxRead)
		for range 1 + rng.IntN(3)*rng.IntN(3) {
			want = append(want, n)
			rec.RecordRead(n)
		}
	}
	for range 3 * maxRunLength {
		want = append(want, 10)
		rec.RecordRead(10)
	}
	var got []int
	for n, count := range j.ReadLengths(0) {
		for range count {
			got = append(got, n)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatal("the engine reads other lengths than were recorded")
	}
	if err := j.PrepareRecovery(0, Base{}, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	rec = reaccept(t, m, 0, policy.CompareStrict)
	reads := rec.Reads(0)
	rec.RecordRead(99) // must not show
	for i, n := range want {
		if k := n / 3; k > 0 {
			reads.Consume(k)
			if reads.Left() != n-k {
				t.Fatalf("read %d: %d left of %d after %d", i, reads.Left(), n, k)
			}
		}
		reads.Consume(reads.Left())
	}
	if reads.Left() != 0 {
		t.Fatal("lengths left over")
	}
}

func TestOverflow(t *testing.T) {
	j, m := heap(t, 4, 1)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	for n := range 2 * pageWords {
		rec.RecordRead(n + 1)
	}
	if h, _ := j.Head(0); !h.Overflow {
		t.Fatal("no overflow")
	}
	if err := j.PrepareRecovery(0, Base{}, 0, 0, 0); !errors.Is(err, ErrOverflow) {
		t.Fatalf("PrepareRecovery: %v, want ErrOverflow", err)
	}
	rec.Release()
	j.Withdraw(0)
	rec = accept(t, j, m, 1, policy.CompareStrict)
	rec.Intend(make([]byte, BlockSize-1)) // needs the one page
	if rec.Overflowed() {
		t.Fatal("the page did not come back")
	}
}

func TestPrepareRecoveryRefuses(t *testing.T) {
	j, m := heap(t, 4, 4)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	rec.Intend(make([]byte, 100))
	for _, c := range []struct{ una, left, stable int64 }{{-1, 0, 0}, {5, 4, 0}, {0, 101, 0}, {0, 0, -1}} {
		if err := j.PrepareRecovery(0, Base{}, c.una, c.left, c.stable); !errors.Is(err, ErrInconsistent) {
			t.Errorf("%+v: %v, want ErrInconsistent", c, err)
		}
	}
	if err := j.PrepareRecovery(3, Base{}, 0, 0, 0); !errors.Is(err, ErrSlot) {
		t.Errorf("unknown slot: %v, want ErrSlot", err)
	}
}

// TestOutput records random writes, some cut short by the kernel, crashes at a
// random place, and replays: the right output passes, and one flipped byte is
// found where it is.
func TestOutput(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 5))
		j, m := heap(t, 2, 64)
		rec := accept(t, j, m, 0, policy.CompareStrict)
		stream := make([]byte, 40*BlockSize)
		for i := range stream {
			stream[i] = byte(rng.Uint32())
		}
		written := 0
		for range rng.IntN(40) {
			n := rng.IntN(1 + rng.IntN(1+rng.IntN(6*BlockSize)))
			n = min(n, len(stream)-written)
			p := stream[written : written+n]
			rec.Intend(p)
			switch rng.IntN(3) {
			case 0:
				k := rng.IntN(n + 1)
				rec.Rollback(p, k)
				written += k
			default:
				rec.Commit()
				written += n
			}
			if rec.Recorded() != int64(written) {
				t.Fatalf("seed %d: recorded %d, written %d", seed, rec.Recorded(), written)
			}
		}
		for round := range 3 {
			left := rng.Int64N(int64(written) + 1)
			una := rng.Int64N(left + 1)
			if err := j.PrepareRecovery(0, Base{}, una, left, 0); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			rec = reaccept(t, m, 0, policy.CompareStrict)
			v := rec.Verifier(0)
			if v.End() < left || v.End() > int64(written) || v.End() >= left+BlockSize {
				t.Fatalf("seed %d: left %d, written %d, record ends at %d", seed, left, written, v.End())
			}
			bad := int64(-1)
			replay := bytes.Clone(stream)
			if round == 2 && v.End() > 0 {
				bad = rng.Int64N(v.End())
				replay[bad] ^= 0x10
			}
			var mm *Mismatch
			for mm == nil && v.Pos() < v.End() {
				n := min(1+rng.Int64N(2*BlockSize), v.End()-v.Pos())
				mm = v.Write(replay[v.Pos() : v.Pos()+n])
				if lag := v.Pos() - v.Verified(); mm == nil && (lag < 0 || lag >= BlockSize) {
					t.Fatalf("seed %d: verified lags by %d", seed, lag)
				}
			}
			if (mm != nil) != (bad >= 0) {
				t.Fatalf("seed %d: flipped %d, mismatch %v", seed, bad, mm)
			}
			if mm != nil && (bad < mm.Offset || bad >= mm.End || mm.End-mm.Offset > BlockSize) {
				t.Fatalf("seed %d: flipped %d, found %v", seed, bad, mm)
			}
			if mm != nil && bad >= v.End()-v.End()%BlockSize && !mm.Exact() {
				t.Fatalf("seed %d: a difference in the last block is not exact: %v", seed, mm)
			}
			if mm != nil {
				break
			}
			written = int(v.End())
			n := min(rng.IntN(2*BlockSize), len(stream)-written)
			rec.Intend(stream[written : written+n])
			rec.Commit()
			written += n
		}
	}
}

func TestSweepFindsLostPages(t *testing.T) {
	j, m := heap(t, 8, 64)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	for n := range 300 {
		rec.RecordRead(n + 1)
	}
	gone := accept(t, j, m, 1, policy.CompareStrict)
	gone.Intend(make([]byte, 20*BlockSize-1))
	for range 10 {
		m.r.alloc() // allocated, never linked
	}
	j.Withdraw(1) // put off: its process has not released it
	j.Sweep()
	if u := j.Usage(); u.PutOff != 0 || u.Conns != 1 {
		t.Fatalf("after the sweep: %+v", u)
	}
	if got, want := freePages(j), 64-2; got != want {
		t.Fatalf("%d pages free, want %d", got, want)
	}
	n := 0
	for range j.ReadLengths(0) {
		n++
	}
	if n != 300 {
		t.Fatalf("the sweep spoiled a live record: %d of 300 words left", n)
	}
	if h, _ := j.Head(0); h.Overflow || !h.Released {
		t.Fatalf("live head after the sweep: %+v", h)
	}
}

// freePages counts what can be allocated.
func freePages(j *Journal) int {
	var got []uint32
	for {
		i := j.r.alloc()
		if i == 0 {
			break
		}
		got = append(got, i)
	}
	for _, i := range got {
		j.r.release(i)
	}
	return len(got)
}

func TestRecordAllocatesNothing(t *testing.T) {
	j, m := heap(t, 2, 4096)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	p := make([]byte, 3000)
	i := 0
	if n := testing.AllocsPerRun(200, func() {
		i++
		rec.RecordRead(1 + i%7)
		rec.Intend(p)
		rec.Commit()
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkRecordRead(b *testing.B) {
	j, m := heap(b, 2, 1<<16)
	rec := accept(b, j, m, 0, policy.CompareStrict)
	for i := 0; b.Loop(); i++ {
		rec.RecordRead(64 + i&1)
		if i&0xfffff == 0 {
			rec.reads.n = 0
		}
	}
}

func BenchmarkIntend(b *testing.B) {
	for _, size := range []int{64, 1024, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			j, m := heap(b, 2, 1<<12)
			rec := accept(b, j, m, 0, policy.CompareStrict)
			p := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				rec.Intend(p)
				rec.Commit()
				if rec.out.end > 1<<29 {
					rec.out.end = 0
				}
			}
		})
	}
}
