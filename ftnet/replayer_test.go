//go:build linux

package ftnet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/policy"
)

// write records output as the connection does.
func write(rec *journal.Record, p string) {
	rec.Intend([]byte(p))
	rec.Commit()
}

func TestReplayerOfNothing(t *testing.T) {
	k := newKeeper(t)
	k.accept(CompareStrict)
	rec, from := k.crash(0, 0, 0)
	r := newRecordReplayer(rec, from)
	if r.Reading() || r.Writing() {
		t.Error("there is nothing to replay")
	}
	if pos, end := r.Output(); pos != 0 || end != 0 {
		t.Errorf("output %d of %d", pos, end)
	}
}

// portions reads to the end with room for most bytes.
func portions(r replayer, most int) (list []string) {
	for r.Reading() {
		p := r.NextRead(most)
		if p.timeout {
			list = append(list, fmt.Sprintf("%d:time-out", p.at))
		} else {
			list = append(list, fmt.Sprintf("%d:%d+%d", p.at, p.logged, p.live))
		}
		r.DidRead(p.logged + p.live)
	}
	return list
}

func TestReplayerReads(t *testing.T) {
	for _, test := range []struct {
		stable int64
		most   int
		want   string
	}{
		{0, 100, "0:0+3 3:0+3 6:0+10"},
		{4, 100, "0:3+0 3:1+2 6:0+10"},
		{16, 100, "0:3+0 3:3+0 6:10+0"},
		{20, 100, "0:3+0 3:3+0 6:10+0 16:4+0"},
		{20, 4, "0:3+0 3:3+0 6:4+0 10:4+0 14:2+0 16:4+0"},
		{20, 3, "0:3+0 3:3+0 6:3+0 9:3+0 12:3+0 15:1+0 16:3+0 19:1+0"},
	} {
		k := newKeeper(t)
		rec := k.accept(CompareStrict)
		for _, n := range []int{3, 3, 10} {
			rec.RecordRead(n)
		}
		rec, from := k.crash(0, 0, test.stable)
		if got := strings.Join(portions(newRecordReplayer(rec, from), test.most), " "); got != test.want {
			t.Errorf("stable %d, room for %d: %s, want %s", test.stable, test.most, got, test.want)
		}
		// What was read again beyond the record is in it.
		rec, from = k.crash(0, 0, test.stable)
		want := test.want
		if test.most < 100 { // smaller reads than recorded ones are not recorded again
			want = "0:3+0 3:3+0 6:10+0 16:4+0"
			if test.most == 3 {
				want = "0:3+0 3:3+0 6:10+0 16:3+0 19:1+0"
			}
		}
		if got := strings.Join(portions(newRecordReplayer(rec, from), 100), " "); got != want {
			t.Errorf("stable %d, room for %d, again: %s, want %s", test.stable, test.most, got, want)
		}
	}
}

// Output that the client may have, but has not acknowledged, is due only when its block has
// been verified, or byte for byte in the last one.
func TestReplayerHolds(t *testing.T) {
	k := newKeeper(t)
	out := strings.Repeat("0123456789abcdef", 200) // 3200: blocks to 3072, then bytes
	write(k.accept(CompareStrict), out)
	rec, from := k.crash(1100, 3100, 0)
	r := newRecordReplayer(rec, from)
	sent := 1100
	for _, step := range []struct{ to, due int }{{1000, 1100}, {2000, 1100}, {2050, 2048}, {3071, 2048}, {3080, 3080}, {3100, 3100}} {
		pos, _ := r.Output()
		if n, _, m := r.Write([]byte(out[pos:step.to])); n != step.to-int(pos) || m != nil {
			t.Fatalf("to %d: took %d, %v", step.to, n, m)
		}
		if got := string(r.Due()); got != out[sent:step.due] {
			t.Errorf("written to %d: %d bytes are due, want %d", step.to, len(got), step.due-sent)
		}
		r.Sent(step.due - sent)
		sent = step.due
	}
	if r.Writing() {
		t.Error("still writing")
	}
}

// A replay that begins later in both streams finds the same there as one from the beginning.
func TestReplayerStartsLater(t *testing.T) {
	k := newKeeper(t)
	// As after an engine's death: the log begins at 100 and 5000, and knows two reads.
	reads := []journal.ReadRun{{Length: 5, Count: 1}, {Length: 7, Count: 1}}
	if err := k.j.Restore(1, 1, flowOf(4001), 100, reads); err != nil {
		t.Fatal(err)
	}
	again := func(una, left int64) (*journal.Record, start) {
		t.Helper()
		if err := k.j.PrepareRecovery(1, journal.Base{In: 100, Out: 5000}, una, left, 120); err != nil {
			t.Fatal(err)
		}
		rec, ok := k.m.Lookup(flowOf(4001))
		if !ok || !rec.Accept(policy.CompareStrict) {
			t.Fatal("the record is not to be had")
		}
		return rec, (&packetCarrier{rec: rec}).Start()
	}
	rec, from := again(5000, 5000)
	if want := (start{in: 100, out: 5000, logged: 120, acked: 5000}); from != want {
		t.Fatalf("start %+v, want %+v", from, want)
	}
	if got := fmt.Sprint(portions(newRecordReplayer(rec, from), 64)); got != "[100:5+0 105:7+0 112:8+0]" {
		t.Errorf("portions %s", got)
	}
	write(rec, "answer")
	r := newRecordReplayer(again(5002, 5006))
	if pos, end := r.Output(); pos != 5000 || end != 5006 {
		t.Fatalf("output %d of %d", pos, end)
	}
	if n, timeout, m := r.Write([]byte("answer and more")); n != 6 || timeout || m != nil || string(r.Due()) != "swer" {
		t.Errorf("took %d, %v, due %q", n, m, r.Due())
	}
	r.Sent(4)
	if r.Writing() {
		t.Error("all was repeated")
	}
	r = newRecordReplayer(again(5002, 5006))
	if _, _, m := r.Write([]byte("anchor")); m == nil || m.Offset != 5002 {
		t.Errorf("mismatch %v", m)
	}
}

func flowOf(port uint16) journal.Flow {
	f := someFlow
	f.Client = netip.AddrPortFrom(f.Client.Addr(), port)
	return f
}

// Any execution, cut anywhere: reads come back as they were, and what is due is exactly what
// was verified and not acknowledged.
func TestReplayerAnyCut(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		k := newKeeper(t)
		compare := Compare(rng.IntN(2))
		rec := k.accept(compare)
		var lengths []int
		input, output := 0, make([]byte, rng.IntN(6000))
		for i := range output {
			output[i] = byte(rng.Uint32())
		}
		for range rng.IntN(20) {
			lengths = append(lengths, 1+rng.IntN(500))
			rec.RecordRead(lengths[len(lengths)-1])
			input += lengths[len(lengths)-1]
		}
		write(rec, string(output))
		for range 3 {
			left := rng.IntN(len(output) + 1)
			una, stable := rng.IntN(left+1), rng.IntN(input+1)
			rec, from := k.crash(int64(una), int64(left), int64(stable))
			r := newRecordReplayer(rec, from)
			at := 0
			for _, n := range lengths {
				for left := n; left > 0; {
					p := r.NextRead(1 + rng.IntN(700))
					n := p.logged + p.live
					if !r.Reading() || p.at != int64(at) || n < 1 || n > left || p.logged != max(0, min(n, stable-at)) {
						t.Fatalf("seed %d: %+v at %d, %d of the read left, %d logged", seed, p, at, left, stable)
					}
					n = 1 + rng.IntN(n)
					r.DidRead(n)
					at, left = at+n, left-n
				}
			}
			if r.Reading() {
				t.Fatalf("seed %d: reading after the end", seed)
			}
			var sent bytes.Buffer
			pos, end := r.Output()
			if pos != 0 || end < int64(left) {
				t.Fatalf("seed %d: output %d of %d, %d had left", seed, pos, end, left)
			}
			for pos < end {
				n, _, m := r.Write(output[pos:min(int(pos)+1+rng.IntN(1500), len(output))])
				if m != nil || n == 0 {
					t.Fatalf("seed %d: %d, %v", seed, n, m)
				}
				if pos, _ = r.Output(); r.Writing() {
					due := r.Due()
					due = due[:rng.IntN(len(due)+1)]
					sent.Write(due)
					r.Sent(len(due))
				}
			}
			if r.Writing() {
				due := r.Due()
				sent.Write(due)
				r.Sent(len(due))
			}
			if r.Writing() || !bytes.Equal(sent.Bytes(), output[una:end]) {
				t.Fatalf("seed %d: sent %d bytes, want [%d,%d); writing %v", seed, sent.Len(), una, end, r.Writing())
			}
			write(rec, string(output[end:])) // and on, live
		}
		k.j.Close()
	}
}
