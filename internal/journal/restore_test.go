package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
)

// replayed runs a handler that repeats stream through the record's end, and
// returns the mismatch that it meets.
func replayed(rng *rand.Rand, rec *Record, stream []byte) *Mismatch {
	v := rec.Verifier(0)
	for v.Pos() < v.End() {
		n := min(1+rng.Int64N(3*BlockSize), v.End()-v.Pos())
		if m := v.Write(stream[v.Pos() : v.Pos()+n]); m != nil {
			return m
		}
	}
	return nil
}

// TestRestoredOutput: what a restored connection's handlers write is compared
// from where it was not known whether the client has it.
func TestRestoredOutput(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 6))
		j, m := heap(t, 2, 64)
		if err := j.Restore(0, 1, flow(0), 0, nil); err != nil {
			t.Fatal(err)
		}
		stream := make([]byte, 30*BlockSize)
		for i := range stream {
			stream[i] = byte(rng.Uint32())
		}
		base := rng.Int64N(9 * BlockSize)
		una, left, end := base, base, base
		for round := range 4 {
			if err := j.PrepareRecovery(0, Base{}, una, left, 0); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
			rec := reaccept(t, m, 0, policy.CompareStrict)
			if h, _ := j.Head(0); h.Recorded < left || h.Recorded > end && h.Recorded != left {
				t.Fatalf("seed %d: recorded %d, left %d, before %d", seed, h.Recorded, left, end)
			}
			end = rec.Verifier(0).End()
			other := bytes.Clone(stream)
			for i := range base { // not known, so not compared
				other[i] ^= 1
			}
			if round == 3 && end > base {
				bad := base + rng.Int64N(end-base)
				other[bad] ^= 4
				if mm := replayed(rng, rec, other); mm == nil || bad < mm.Offset || bad >= mm.End {
					t.Fatalf("seed %d: flipped %d of %d:%d, found %v", seed, bad, base, end, mm)
				}
				break
			}
			if mm := replayed(rng, rec, other); mm != nil {
				t.Fatalf("seed %d: base %d, end %d: %v", seed, base, end, mm)
			}
			n := rng.Int64N(5 * BlockSize)
			rec.Intend(stream[end : end+n])
			if k := rng.Int64N(n + 1); rng.IntN(3) == 0 {
				rec.Rollback(stream[end:end+n], int(k))
				n = k
			} else {
				rec.Commit()
			}
			end += n
			if rec.Recorded() != end {
				t.Fatalf("seed %d: recorded %d, want %d", seed, rec.Recorded(), end)
			}
			left = base + rng.Int64N(end-base+1)
			una = min(left, base+rng.Int64N(end-base+1))
			if rng.IntN(4) == 0 { // the client has more from the time before
				base = end + rng.Int64N(2*BlockSize)
				una, left = base, base
			}
		}
	}
}

func TestRestoredReads(t *testing.T) {
	j, m := heap(t, 2, 64)
	runs := []ReadRun{{7, 3}, {100, 2*maxRunLength + 5}, {1, 1}}
	if err := j.Restore(1, 9, flow(1), 0, runs); err != nil {
		t.Fatal(err)
	}
	if err := j.Restore(1, 9, flow(1), 0, runs); !errors.Is(err, ErrSlot) {
		t.Errorf("restored twice: %v", err)
	}
	if err := j.PrepareRecovery(1, Base{}, 50, 50, 1<<20); err != nil {
		t.Fatal(err)
	}
	rec := reaccept(t, m, 1, policy.CompareLength)
	if rec.Compare() != policy.CompareLength || rec.Gen() != 9 {
		t.Errorf("compare %v, generation %d", rec.Compare(), rec.Gen())
	}
	var got []ReadRun
	for r := rec.Reads(0); r.Left() > 0; {
		n := uint32(r.Left())
		r.Consume(int(n))
		if k := len(got); k > 0 && got[k-1].Length == n {
			got[k-1].Count++
		} else {
			got = append(got, ReadRun{n, 1})
		}
	}
	if !slices.Equal(got, runs) {
		t.Errorf("reads %v, want %v", got, runs)
	}
	if lengths, total := j.NewReads(1, make([]uint32, 0, 8)); len(lengths) != 0 || total != 21+100*(2*maxRunLength+5)+1 {
		t.Errorf("told are %v, %d bytes", lengths, total)
	}
	rec.RecordRead(1)
	if lengths, _ := j.NewReads(1, make([]uint32, 0, 8)); !slices.Equal(lengths, []uint32{1}) {
		t.Errorf("a new read is told as %v", lengths)
	}
	if err := j.Restore(0, 1, flow(0), 0, []ReadRun{{0, 1}}); !errors.Is(err, ErrOverflow) {
		t.Errorf("an empty read: %v", err)
	}
	if err := j.Publish(0, 1, flow(0)); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestNewReads takes reads as they are recorded, in pieces.
func TestNewReads(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		j, m := heap(t, 1, 256)
		rec := accept(t, j, m, 0, policy.CompareLength)
		var want, got []uint32
		sum, buf := int64(0), make([]uint32, 0, 50)
		take := func() int {
			lengths, total := j.NewReads(0, buf)
			got = append(got, lengths...)
			for _, n := range lengths {
				sum += int64(n)
			}
			if total != sum {
				t.Fatalf("seed %d: %d bytes, want %d", seed, total, sum)
			}
			return len(lengths)
		}
		for range 3000 {
			for n := uint32(1 + rng.IntN(3)); rng.IntN(4) > 0; {
				rec.RecordRead(int(n))
				want = append(want, n)
			}
			if rng.IntN(20) == 0 {
				take()
			}
		}
		for take() > 0 {
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d reads told of %d", seed, len(got), len(want))
		}
	}
}
