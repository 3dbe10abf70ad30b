package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
)

func record(t testing.TB, rec *Record, k Kind, p string) {
	t.Helper()
	if err := rec.RecordInput(k, []byte(p)); err != nil {
		t.Fatal(err)
	}
}

// TestInputs: the next process and the engine get what was recorded, in that order, with its
// place; also what the next process adds.
func TestInputs(t *testing.T) {
	j, m := heap(t, 4, 256)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	var want []Input
	in, out := int64(0), int64(0)
	big := string(bytes.Repeat([]byte("0123456789"), 3000))
	for round := range 3 {
		for i, p := range []string{"", "", "", "x", "x", "", "four", big, "", "12345", ""} {
			if i%3 == 0 {
				rec.RecordRead(1000)
				in += 1000
			}
			if i%4 == 3 {
				rec.Intend([]byte(big))
				rec.Rollback([]byte(big), 700)
				out += 700
			}
			record(t, rec, Kind(1+i/5), p)
			next := Input{Kind: Kind(1 + i/5), Count: 1, In: in, Out: out, Bytes: []byte(p)}
			if k := len(want) - 1; i > 0 && p == "" && reflect.DeepEqual(want[k], Input{next.Kind, want[k].Count, in, out, []byte{}}) {
				want[k].Count++
			} else {
				want = append(want, next)
			}
		}
		if got := j.Inputs(0); !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: the engine reads\n%.2000s, want\n%.2000s", round, fmt.Sprint(got), fmt.Sprint(want))
		}
		j.Sweep()
		if err := j.PrepareRecovery(0, Base{}, 0, out, in); err != nil {
			t.Fatal(err)
		}
		rec = reaccept(t, m, 0, policy.CompareStrict)
		if got := rec.Inputs(); !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: the next process reads\n%.2000s, want\n%.2000s", round, fmt.Sprint(got), fmt.Sprint(want))
		}
		rec.Reads(in)     // the handler begins where the one before ended
		rec.Verifier(out) // as with a checkpoint
		rec.inputs.reads, rec.inputs.from = nil, 0
	}
	if got := j.Inputs(3); got != nil {
		t.Errorf("an unknown slot has %v", got)
	}
	rec.Release()
	j.Withdraw(0)
	if n, used := freePages(j), j.r.super().inputPages; n != 256 || used != 0 {
		t.Errorf("%d of 256 pages free, %d count as those of inputs", n, used)
	}
}

// TestInputPlace: the place is that of the execution, also where it repeats the one before.
func TestInputPlace(t *testing.T) {
	j, m := heap(t, 4, 64)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	place := func() string {
		t.Helper()
		record(t, rec, 9, "")
		list := rec.Inputs()
		in := list[len(list)-1]
		return fmt.Sprintf("%d:%d", in.In, in.Out)
	}
	expect := func(want string) {
		t.Helper()
		if got := place(); got != want {
			t.Errorf("place %s, want %s", got, want)
		}
	}
	expect("0:0")
	for i := range 600 {
		rec.RecordRead(1 + i%2)
	}
	rec.RecordRead(1)
	rec.RecordRead(1) // in the same word
	expect("902:0")
	rec.RecordRead(1)
	rec.Intend(make([]byte, 3000))
	rec.Commit()
	expect("903:3000")
	if err := j.PrepareRecovery(0, Base{}, 0, 3000, 900); err != nil {
		t.Fatal(err)
	}
	rec = reaccept(t, m, 0, policy.CompareStrict)
	reads, output := rec.Reads(0), rec.Verifier(0)
	expect("0:0")
	reads.Consume(1)
	reads.Consume(1) // half of the second
	output.Write(make([]byte, 1500))
	expect("2:1500")
	for n := reads.Left(); n > 0; n = reads.Left() {
		reads.Consume(n)
	}
	output.Write(make([]byte, 1500))
	expect("903:3000")
	rec.RecordRead(10)
	rec.Intend(make([]byte, 10))
	rec.Commit()
	expect("913:3010")
	if h, _ := j.Head(0); h.Written != 3010 || h.Recorded != 3010 {
		t.Errorf("live again: %+v", h)
	}

	// A replay that begins later in both streams.
	if err := j.PrepareRecovery(0, Base{In: 500, Out: 3010}, 3010, 3010, 900); err != nil {
		t.Fatal(err)
	}
	rec = reaccept(t, m, 0, policy.CompareStrict)
	reads = rec.Reads(rec.Base().In)
	rec.Verifier(3010)
	expect("500:3010")
	for n := reads.Left(); n > 0; n = reads.Left() {
		reads.Consume(n)
	}
	rec.RecordRead(1)
	expect("914:3010")
}

func TestInputBounds(t *testing.T) {
	const pages = 4 * MaxInputs / pageSize
	j, m := heap(t, 8, pages)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	if err := rec.RecordInput(1, make([]byte, MaxInput+1)); !errors.Is(err, ErrInputTooLong) {
		t.Errorf("too long: %v", err)
	}
	if rec.h.inputPage != 0 {
		t.Error("a page was taken for nothing")
	}
	fill := func(rec *Record, size int) (n int, err error) {
		for ; err == nil; n++ {
			err = rec.RecordInput(1, make([]byte, size))
		}
		return n - 1, err
	}
	if n, err := fill(rec, MaxInput-100); n != 4 || !errors.Is(err, ErrInputs) {
		t.Errorf("%d large inputs, then %v", n, err)
	}
	if n, err := fill(rec, 1); n < 1 || !errors.Is(err, ErrInputs) {
		t.Errorf("%d small inputs, then %v", n, err)
	}
	if rec.Overflowed() {
		t.Error("the record counts as incomplete: that is the caller's to decide")
	}
	checkInputs(t, j.Inputs(0))
	before := len(j.Inputs(0))

	// All connections together have half of the pages.
	total := 0
	var err error
	for slot := uint32(1); slot < 4 && !errors.Is(err, ErrInputPages); slot++ {
		n := 0
		n, err = fill(accept(t, j, m, slot, policy.CompareStrict), 1000)
		total += n
	}
	if !errors.Is(err, ErrInputPages) || total < MaxInputs/1024-4 || total > MaxInputs/1000 {
		t.Errorf("%d inputs of others, then %v", total, err)
	}
	if used := j.r.super().inputPages; used != pages/2 {
		t.Errorf("%d pages count as those of inputs", used)
	}
	other := accept(t, j, m, 5, policy.CompareStrict)
	other.Intend(make([]byte, BlockSize-1)) // needs a page
	if err := other.RecordInput(1, nil); !errors.Is(err, ErrInputPages) || other.Overflowed() || other.Inputs() != nil {
		t.Errorf("no page for an input: %v, overflow %v, %v", err, other.Overflowed(), other.Inputs())
	}

	// Those of a connection that ends are to be had again; a count that a killed process left is
	// put right.
	rec.Release()
	j.Withdraw(0)
	if err := other.RecordInput(1, nil); err != nil {
		t.Error(err)
	}
	atomic.StoreUint32(&j.r.super().inputPages, 3*pages)
	if err := other.RecordInput(1, make([]byte, 3000)); !errors.Is(err, ErrInputPages) {
		t.Errorf("the count says that there is no page: %v", err)
	}
	j.Sweep()
	if err := other.RecordInput(1, make([]byte, 3000)); err != nil {
		t.Error(err)
	}
	if before < 5 || len(j.Inputs(5)) != 2 {
		t.Errorf("%d and %v inputs", before, j.Inputs(5))
	}
}

// TestInputIsWholeOrAbsent: a process dies with any part of an input written, and the word that
// makes it count is the last.
func TestInputIsWholeOrAbsent(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 8))
		j, m := heap(t, 2, 64)
		rec := accept(t, j, m, 0, policy.CompareStrict)
		for range rng.IntN(40) {
			record(t, rec, Kind(1+rng.IntN(3)), string(make([]byte, rng.IntN(200))))
		}
		before := j.Inputs(0)
		old := uint32(0)
		if rec.inputs.w != nil {
			old = *rec.inputs.w.committed
			rec.inputs.w.last = nil // a repetition is one store
		}
		record(t, rec, 5, string(make([]byte, rng.IntN(3000))))
		after := j.Inputs(0)
		if len(after) != len(before)+1 {
			t.Fatalf("seed %d: %d inputs after %d", seed, len(after), len(before))
		}
		// The words are stored in order, the first of all last.
		end := *rec.inputs.w.committed
		*rec.inputs.w.committed = old
		c := inputChain(&m.r, rec.h)
		for i := max(1, old) + uint32(rng.IntN(int(end-max(1, old)))); i < end; i++ {
			*c.word(i, false) = rng.Uint32()
		}
		if rng.IntN(2) == 0 {
			j.Sweep()
		}
		if got := j.Inputs(0); !reflect.DeepEqual(got, before) {
			t.Fatalf("seed %d: %v, before %v", seed, got, before)
		}
		if err := j.PrepareRecovery(0, Base{}, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		rec = reaccept(t, m, 0, policy.CompareStrict)
		record(t, rec, 6, "again")
		got, last := rec.Inputs(), Input{Kind: 6, Count: 1, Bytes: []byte("again")}
		if !reflect.DeepEqual(got, append(slices.Clone(before), last)) {
			t.Fatalf("seed %d: %v, before %v", seed, got, before)
		}
	}
}

// TestInputsOfBothSides: reader and writer record side by side.
func TestInputsOfBothSides(t *testing.T) {
	j, m := heap(t, 2, 512)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	var wg sync.WaitGroup
	const times = 1000
	wg.Go(func() {
		for range times {
			rec.RecordRead(3)
			if err := rec.RecordInput(ReadTimeout, nil); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range times {
			rec.Intend([]byte("12345"))
			rec.Commit()
			if err := rec.RecordInput(WriteTimeout, nil); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	in, out := int64(0), int64(0)
	for _, i := range j.Inputs(0) {
		switch {
		case i.Kind == ReadTimeout && i.In == in+3:
			in = i.In
		case i.Kind == WriteTimeout && i.Out == out+5:
			out = i.Out
		default:
			t.Fatalf("%+v after %d and %d", i, in, out)
		}
	}
	if in != 3*times || out != 5*times {
		t.Errorf("the last are at %d and %d", in, out)
	}
}

func BenchmarkRecordInput(b *testing.B) {
	for name, p := range map[string][]byte{"repeated": nil, "100": make([]byte, 100)} {
		b.Run(name, func(b *testing.B) {
			j, m := heap(b, 2, 1<<12)
			rec := accept(b, j, m, 0, policy.CompareStrict)
			b.ReportAllocs()
			for b.Loop() {
				if rec.RecordInput(1, p) != nil {
					rec.inputs.w.n, rec.inputs.w.last = 1, nil
				}
			}
		})
	}
}
