package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
)

// readsOf are the lengths that are to be read again.
func readsOf(rec *Record) (list []int) {
	for r := rec.Reads(rec.Base().In); r.Left() > 0; {
		list = append(list, r.Left())
		r.Consume(r.Left())
	}
	return list
}

// TestBaseReads: reads before the base are passed over, also if the record begins after the connection.
func TestBaseReads(t *testing.T) {
	for _, from := range []int64{0, 1000} {
		j, m := heap(t, 2, 64)
		if err := j.Restore(0, 1, flow(0), from, []ReadRun{{3, 2}, {5, 1}, {4, 3}}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			in   int64
			want []int
		}{{0, []int{3, 3, 5, 4, 4, 4}}, {2, []int{1, 3, 5, 4, 4, 4}}, {3, []int{3, 5, 4, 4, 4}}, {8, []int{3, 4, 4, 4}}, {16, []int{3, 4}}, {23, nil}, {30, nil}} {
			if err := j.PrepareRecovery(0, Base{In: from + c.in}, 0, 0, from+c.in); err != nil {
				t.Fatal(err)
			}
			rec := reaccept(t, m, 0, policy.CompareStrict)
			if got := readsOf(rec); !slices.Equal(got, c.want) || rec.Base().In != from+c.in {
				t.Errorf("record from %d, base %+v: reads %v, want %v", from, rec.Base(), got, c.want)
			}
			rec.Release()
		}
		if _, total := j.NewReads(0, nil); total != from+23 {
			t.Errorf("record from %d: told up to %d", from, total)
		}
		if err := j.PrepareRecovery(0, Base{In: from - 1}, 0, 0, from); !errors.Is(err, ErrInconsistent) {
			t.Errorf("record from %d, a base before: %v", from, err)
		}
	}
}

// TestBaseOutput: a handler that begins to write at the base is compared from there on, or the record is
// refused.
func TestBaseOutput(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 12))
		j, m := heap(t, 2, 64)
		rec := accept(t, j, m, 0, policy.Compare(rng.IntN(2)))
		stream := make([]byte, rng.IntN(5*BlockSize))
		for i := range stream {
			stream[i] = byte(rng.Uint32())
		}
		rec.Intend(stream)
		rec.Commit()
		end := int64(len(stream))
		out := rng.Int64N(end + 1)
		if rng.IntN(2) == 0 {
			out -= out % BlockSize
		}
		left := out + rng.Int64N(end-out+1)
		err := j.PrepareRecovery(0, Base{Out: out}, out, left, 0)
		length := rec.Compare() == policy.CompareLength
		kept := end // of the record
		if length || left/BlockSize == end/BlockSize {
			kept = left
		} else {
			kept = (left + BlockSize - 1) / BlockSize * BlockSize
		}
		if comparable := length || out%BlockSize == 0 || out/BlockSize == kept/BlockSize; comparable != (err == nil) {
			t.Fatalf("seed %d: base at %d of %d: %v", seed, out, kept, err)
		}
		if err != nil {
			if !errors.Is(err, ErrInconsistent) {
				t.Fatal(err)
			}
			continue
		}
		rec = reaccept(t, m, 0, policy.CompareStrict)
		if h, _ := j.Head(0); h.Written != out || rec.Base().Out != out {
			t.Fatalf("seed %d: written %d, base %+v, want %d", seed, h.Written, rec.Base(), out)
		}
		other, bad := bytes.Clone(stream), int64(-1)
		if kept > out && rng.IntN(2) == 0 {
			bad = out + rng.Int64N(kept-out)
			other[bad] ^= 1
		}
		v := rec.Verifier(rec.Base().Out)
		var found *Mismatch
		for found == nil && v.Pos() < v.End() {
			n := min(1+rng.Int64N(2*BlockSize), v.End()-v.Pos())
			found = v.Write(other[v.Pos() : v.Pos()+n])
		}
		switch {
		case bad < 0 || length:
			if found != nil || v.Pos() != kept {
				t.Fatalf("seed %d: base %d, %v at %d of %d", seed, out, found, v.Pos(), kept)
			}
		case found == nil || bad < found.Offset || bad >= found.End:
			t.Fatalf("seed %d: base %d, flipped %d, found %v", seed, out, bad, found)
		}
	}
}

// TestBaseRefused: what cannot be.
func TestBaseRefused(t *testing.T) {
	j, m := heap(t, 4, 4)
	rec := accept(t, j, m, 0, policy.CompareStrict)
	rec.Intend(make([]byte, 100))
	for _, b := range []Base{{Out: 51}, {Out: -1}, {In: 11}, {In: -1}} {
		if err := j.PrepareRecovery(0, b, 50, 100, 10); !errors.Is(err, ErrInconsistent) {
			t.Errorf("%+v: %v, want ErrInconsistent", b, err)
		}
	}
	if err := j.PrepareRecovery(0, Base{In: 10, Out: 50}, 50, 100, 10); err != nil {
		t.Error(err)
	}
}
