//go:build linux

package ftnet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/journal"
)

// mustRecord records an input without bytes.
func mustRecord(t *testing.T, rec *journal.Record, kind journal.Kind) {
	t.Helper()
	if err := rec.RecordInput(kind, nil); err != nil {
		t.Fatal(err)
	}
}

// TestReplayerTimeouts: time-outs of writes count as far as the output after them does.
func TestReplayerTimeouts(t *testing.T) {
	k := newKeeper(t)
	rec := k.accept(CompareStrict)
	mustRecord(t, rec, journal.ReadTimeout)
	rec.RecordRead(3)
	mustRecord(t, rec, journal.ReadTimeout)
	mustRecord(t, rec, journal.ReadTimeout)
	rec.RecordRead(5)
	mustRecord(t, rec, journal.ReadTimeout)
	write(rec, "hello")
	mustRecord(t, rec, journal.WriteTimeout)
	mustRecord(t, rec, journal.WriteTimeout)
	write(rec, " world")
	mustRecord(t, rec, journal.WriteTimeout) // at the end: nothing tells of it
	check := func(r replayer, reads, writes string) {
		t.Helper()
		if got := strings.Join(portions(r, 100), " "); got != reads {
			t.Errorf("reads %s, want %s", got, reads)
		}
		var list []string
		for text := "hello world"; r.Writing(); {
			n, timeout, m := r.Write([]byte(text))
			list = append(list, fmt.Sprint(n, timeout, m))
			if n == 0 && !timeout || m != nil {
				break
			}
			if text = text[n:]; r.Writing() {
				r.Sent(len(r.Due()))
			}
		}
		if got := fmt.Sprint(list); got != writes {
			t.Errorf("writes %s, want %s", got, writes)
		}
	}
	const reads = "0:time-out 0:3+0 3:time-out 3:time-out 3:5+0 8:time-out"
	next := func(left int64) replayer {
		t.Helper()
		var from start
		rec, from = k.crash(0, left, 8)
		return newRecordReplayer(rec, from)
	}
	check(next(11), reads, "[5 true <nil> 0 true <nil> 6 false <nil>]")
	check(next(11), reads, "[5 true <nil> 0 true <nil> 6 false <nil>]")
	check(next(5), reads, "[5 false <nil>]")
	write(rec, " world") // without a time-out
	check(next(11), reads, "[11 false <nil>]")
	check(next(5), reads, "[5 false <nil>]")
	mustRecord(t, rec, journal.WriteTimeout) // with one again
	write(rec, " world")
	check(next(11), reads, "[5 true <nil> 6 false <nil>]")
	if got := k.inputs(); got != "1×1@0:0 1×2@3:0 1×1@8:0 2×2@8:5 2×1@8:11 3×1@0:0 3×1@0:0 2×1@8:5" {
		t.Errorf("recorded %s", got)
	}
}

// Time-outs that no honest execution has recorded end nowhere else than in the handler.
func TestReplayerTimeoutsBeyond(t *testing.T) {
	k := newKeeper(t)
	rec := k.accept(CompareStrict)
	rec.RecordRead(3)
	rec.RecordInput(journal.ReadTimeout, nil)
	rec.RecordInput(journal.WritesForgotten, []byte("short"))
	rec.Reads(1 << 40)
	rec.RecordInput(journal.ReadTimeout, nil)
	rec.RecordInput(200, []byte("of another version"))
	rec, from := k.crash(0, 0, 3)
	if got := strings.Join(portions(newRecordReplayer(rec, from), 100), " "); got != "0:3+0 3:time-out 3:time-out" {
		t.Errorf("reads %s", got)
	}
}

// Any execution with time-outs, cut anywhere, with more of them while it is repeated: each
// execution has those of the one before.
func TestTimeoutsAnyCut(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		k := newKeeper(t)
		rec := k.accept(CompareStrict)
		output := make([]byte, 0, 160_000)
		for range cap(output) {
			output = append(output, byte(rng.Uint32()))
		}
		// What the execution did on each side: bytes, or 0 for a time-out.
		var reads, writes []int
		input, written := 0, 0
		live := func() {
			for range rng.IntN(20) {
				switch rng.IntN(4) {
				case 0:
					mustRecord(t, rec, journal.ReadTimeout)
					reads = append(reads, 0)
				case 1:
					mustRecord(t, rec, journal.WriteTimeout)
					writes = append(writes, 0)
				case 2:
					n := 1 + rng.IntN(500)
					rec.RecordRead(n)
					reads, input = append(reads, n), input+n
				case 3:
					n := 1 + rng.IntN(1500)
					write(rec, string(output[written:written+n]))
					writes, written = append(writes, n), written+n
				}
			}
		}
		live()
		for round := range 4 {
			left := rng.IntN(written + 1)
			var from start
			rec, from = k.crash(int64(rng.IntN(left+1)), int64(left), int64(rng.IntN(input+1)))
			r := newRecordReplayer(rec, from)
			_, end := r.Output()
			written = int(end)

			at := 0
			var again []int
			for _, n := range reads {
				for rng.IntN(5) == 0 {
					mustRecord(t, rec, journal.ReadTimeout)
					again = append(again, 0)
				}
				again = append(again, n)
				if p := r.NextRead(1 << 20); !r.Reading() || p.timeout != (n == 0) || p.logged+p.live != n || p.at != int64(at) {
					t.Fatalf("seed %d, round %d: %+v at %d, want %d", seed, round, p, at, n)
				}
				r.DidRead(n)
				at += n
			}
			if r.Reading() {
				t.Fatalf("seed %d, round %d: reading after the end", seed, round)
			}
			reads = again

			at, again = 0, nil
			for _, n := range writes {
				if at == written {
					break // what was written after that is forgotten
				}
				for rng.IntN(5) == 0 {
					mustRecord(t, rec, journal.WriteTimeout)
					again = append(again, 0)
				}
				n = min(n, written-at)
				again = append(again, n)
				to := at + max(n, 1)
				took, timeout, m := r.Write(output[at:to])
				if took != n || timeout != (n == 0) || m != nil {
					t.Fatalf("seed %d, round %d: wrote %d, %v, %v at %d, want %d", seed, round, took, timeout, m, at, n)
				}
				if at += n; r.Writing() {
					r.Sent(len(r.Due()))
				}
			}
			if r.Writing() {
				t.Fatalf("seed %d, round %d: writing after the end", seed, round)
			}
			writes = again
			live()
		}
		k.j.Close()
	}
}
