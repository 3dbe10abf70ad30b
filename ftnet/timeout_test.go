//go:build linux

package ftnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
)

// inputs are the recorded ones: kind, how often, place.
func (k *keeper) inputs() string {
	var list []string
	for _, in := range k.j.Inputs(0) {
		list = append(list, fmt.Sprintf("%d×%d@%d:%d", in.Kind, in.Count, in.In, in.Out))
	}
	return strings.Join(list, " ")
}

func timedOut(t *testing.T, what string, err error) {
	t.Helper()
	var oe *net.OpError
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &oe) && !oe.Timeout() {
		t.Errorf("%s: %v, want a time-out", what, err)
	}
}

// TestTimeoutIsRecorded: that the clock ended a call is recorded once for each deadline; what
// the handler itself brings about is not.
func TestTimeoutIsRecorded(t *testing.T) {
	k, f := newKeeper(t), &fakeCarrier{room: -1}
	c := fakeConn(t, k, f, nil)
	f.waits = func() {}
	buf := make([]byte, 9)
	ahead := func() time.Time { return time.Now().Add(time.Hour) }
	read := func(want string) {
		t.Helper()
		_, err := c.Read(buf)
		timedOut(t, "read", err)
		if got := k.inputs(); got != want {
			t.Errorf("recorded %q, want %q", got, want)
		}
	}
	read("") // no deadline: it can only be one that has just been taken back
	c.SetReadDeadline(time.Unix(1, 0))
	read("")
	c.SetReadDeadline(ahead())
	if n, err := c.Read(nil); n != 0 || err == nil {
		t.Errorf("an empty read: %d, %v", n, err) // of the fake; net's does not look at the deadline
	}
	if got := k.inputs(); got != "" {
		t.Errorf("an empty read is recorded: %s", got)
	}
	read("1×1@0:0")
	read("1×1@0:0")
	c.SetReadDeadline(time.Now()) // it was ahead when it was computed, perhaps
	read("1×2@0:0")
	f.live.WriteString("abc")
	c.Read(buf)
	c.SetDeadline(ahead())
	read("1×2@0:0 1×1@3:0")
	f.waits = func() { c.SetReadDeadline(ahead()) }
	c.SetReadDeadline(ahead())
	read("1×2@0:0 1×1@3:0")
	f.waits = func() { c.SetReadDeadline(time.Now().Add(-1)) }
	read("1×2@0:0 1×1@3:0")

	f.room = 4
	n, err := c.Write([]byte("0123456789")) // by the deadline of both
	if timedOut(t, "write", err); n != 4 {
		t.Errorf("wrote %d", n)
	}
	f.room = 0
	_, err = c.Write([]byte("456789"))
	timedOut(t, "write", err)
	if got := k.inputs(); got != "1×2@0:0 1×1@3:0 2×1@3:4" {
		t.Errorf("recorded %s", got)
	}
	if !c.Protected() {
		t.Error("unprotected")
	}
}

// TestTimeoutWithoutRoom: what cannot be recorded ends the protection, not the connection.
func TestTimeoutWithoutRoom(t *testing.T) {
	k, f := newKeeper(t), &fakeCarrier{room: -1}
	c := fakeConn(t, k, f, nil)
	for c.rec.RecordInput(9, make([]byte, 1000)) == nil {
	}
	for c.rec.RecordInput(9, make([]byte, 1)) == nil {
	}
	c.SetReadDeadline(time.Now().Add(time.Hour))
	f.waits = func() {}
	for range 2 {
		_, err := c.Read(make([]byte, 1))
		timedOut(t, "read", err)
		if c.Protected() || !k.head().Overflow {
			t.Error("the connection still counts as protected")
		}
	}
	f.live.WriteString("abc")
	if n, err := c.Read(make([]byte, 9)); n != 3 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}

// TestReadTimeoutIsRepeated: at once, if the handler has a deadline; it holds until that is set
// again.
func TestReadTimeoutIsRepeated(t *testing.T) {
	k := newKeeper(t)
	f := &fakeCarrier{from: start{logged: 6}, log: []byte("012345"), page: 10, room: -1}
	r := &fakeReplayer{next: []portion{{logged: 3}, {at: 3, timeout: true}, {at: 3, logged: 3}, {at: 6, timeout: true}, {at: 6, timeout: true}}}
	c := fakeConn(t, k, f, r)
	buf := make([]byte, 9)
	read := func(want string) {
		t.Helper()
		n, err := c.Read(buf)
		if want == "" {
			timedOut(t, "read", err)
		} else if err != nil || string(buf[:n]) != want {
			t.Errorf("read %q, %v, want %q", buf[:n], err, want)
		}
	}
	c.SetReadDeadline(time.Unix(1, 0))
	read("") // by itself
	c.SetReadDeadline(time.Now().Add(time.Hour))
	read("012")
	read("")
	read("")
	c.SetReadDeadline(time.Now().Add(time.Hour))
	read("345")
	read("")
	// This handler has no deadline for the last one, where that before had: it is not for it.
	f.live.WriteString("live")
	c.SetReadDeadline(time.Time{})
	read("live")
	if got := k.inputs(); got != "" {
		t.Errorf("recorded again: %s", got)
	}
	// Nor is it while there is more to repeat.
	r.next = []portion{{at: 2, timeout: true}, {at: 2, logged: 1}, {at: 3, timeout: true}}
	read("2")
	// A deadline that passed in the replay has passed when the connection is live.
	c.SetReadDeadline(time.Now().Add(time.Hour))
	f.live.WriteString("more")
	read("")
	read("")
	c.SetReadDeadline(time.Now().Add(time.Hour))
	read("more")
	f.waits = func() {}
	read("")
	if got := k.inputs(); got != "1×1@8:0" {
		t.Errorf("recorded %s", got)
	}
}

func TestWriteTimeoutIsRepeated(t *testing.T) {
	k, f := newKeeper(t), &fakeCarrier{room: -1}
	c := fakeConn(t, k, f, &fakeReplayer{want: "0123456789", stops: []int{4, 4, 6}, acked: 2})
	hour := func() { c.SetWriteDeadline(time.Now().Add(time.Hour)) }
	hour()
	for _, step := range []struct {
		p string
		n int // < 0: a time-out after so many
	}{{"0123", 4}, {"456", 0}, {"456", 0}, {"", 0}, {"456", 0}, {"456", -1}, {"789new", 6}} {
		n, err := c.Write([]byte(step.p))
		switch {
		case step.n > 0:
			if n != step.n || err != nil {
				t.Errorf("%q: wrote %d, %v", step.p, n, err)
			}
			continue
		case step.p == "":
			hour()
			continue
		case step.n < 0: // no deadline: the last time-out is not for this handler
			if n != len(step.p) || err != nil {
				t.Errorf("%q: wrote %d, %v", step.p, n, err)
			}
			continue
		}
		if timedOut(t, step.p, err); n != 0 {
			t.Errorf("%q: wrote %d, %v", step.p, n, err)
		}
		if len(c.replay.(*fakeReplayer).stops) == 1 {
			c.SetWriteDeadline(time.Time{})
		}
	}
	if got := f.sent.String(); got != "23456789new" || k.inputs() != "" {
		t.Errorf("sent %q, recorded %q", got, k.inputs())
	}
}

// TestReplayTimesOut: what waits in a replay ends by its deadline, and the next execution repeats
// that, too.
func TestReplayTimesOut(t *testing.T) {
	k := newKeeper(t)
	k.accept(CompareStrict).RecordRead(5)
	rec, from := k.crash(0, 0, 3)
	f := &fakeCarrier{from: from, log: []byte("01234"), page: 10, room: -1, waits: func() {}}
	c := &Conn{tcp: new(net.TCPConn), via: f, log: discard, rec: rec}
	c.repeat(newRecordReplayer(rec, from))
	buf := make([]byte, 9)
	c.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := c.Read(buf); string(buf[:n]) != "012" || err != nil {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	_, err := c.Read(buf)
	timedOut(t, "read", err)
	// It had waited for longer than the handler would, which was then told what it had set.
	if n := len(f.until); n != 5 || f.until[n-2].Sub(f.until[0]) < replayPatience/2 || !f.until[n-1].Before(f.until[n-2]) {
		t.Errorf("the carrier's deadlines were %v", f.until)
	}
	if got := k.inputs(); got != "1×1@3:0" {
		t.Errorf("recorded %s", got)
	}
	rec, from = k.crash(0, 0, 5)
	if got := strings.Join(portions(newRecordReplayer(rec, from), 9), " "); got != "0:3+0 3:time-out 3:2+0" {
		t.Errorf("the next replay is %s", got)
	}
}

// TestPastDeadlineWakes: who sets a deadline that has passed wakes a read that waits for the log, and at
// once; that is no input.
func TestPastDeadlineWakes(t *testing.T) {
	for _, before := range []time.Duration{0, time.Millisecond, time.Hour} {
		k, f := newKeeper(t), &fakeCarrier{from: start{logged: 5}, stuck: make(chan struct{})}
		c := fakeConn(t, k, f, &fakeReplayer{next: []portion{{logged: 5}}})
		if before > 0 {
			c.SetReadDeadline(time.Now().Add(before))
		}
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 5))
			done <- err
		}()
		<-f.stuck
		began := time.Now()
		c.SetReadDeadline(time.Now().Add(-1))
		timedOut(t, "read", <-done)
		if d := time.Since(began); d > replayPatience/2 {
			t.Errorf("after %v", d)
		}
		if got := k.inputs(); got != "" {
			t.Errorf("recorded %s", got)
		}
		c.Close()
	}
}

// TestReplayerTimeouts: time-outs of writes count as far as the output after them does.
func TestReplayerTimeouts(t *testing.T) {
	k := newKeeper(t)
	rec := k.accept(CompareStrict)
	note := func(kind journal.Kind) {
		t.Helper()
		if err := rec.RecordInput(kind, nil); err != nil {
			t.Fatal(err)
		}
	}
	note(journal.ReadTimeout)
	rec.RecordRead(3)
	note(journal.ReadTimeout)
	note(journal.ReadTimeout)
	rec.RecordRead(5)
	note(journal.ReadTimeout)
	write(rec, "hello")
	note(journal.WriteTimeout)
	note(journal.WriteTimeout)
	write(rec, " world")
	note(journal.WriteTimeout) // at the end: nothing tells of it
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
	note(journal.WriteTimeout) // with one again
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
		note := func(kind journal.Kind) {
			t.Helper()
			if err := rec.RecordInput(kind, nil); err != nil {
				t.Fatal(err)
			}
		}
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
					note(journal.ReadTimeout)
					reads = append(reads, 0)
				case 1:
					note(journal.WriteTimeout)
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
					note(journal.ReadTimeout)
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
					note(journal.WriteTimeout)
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

// answerOrTick is one step of a handler that answers, and says something when nothing has come for
// a while.
func answerOrTick(t *testing.T, c *Conn, patience time.Duration) (said string) {
	t.Helper()
	buf := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(buf)
	said = strings.ToUpper(string(buf[:n]))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		said, err = "tick.", nil
	}
	if err == nil {
		_, err = c.Write([]byte(said))
	}
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// TestTick: a handler whose output depends on time-outs is rolled forward, at once.
func TestTick(t *testing.T) {
	l, s, c, cl := pair(t, ListenConfig{})
	var steps []string
	for _, word := range []string{"one", "two"} {
		cl.send(word)
		for i := 0; i < 2 || steps[len(steps)-1] != "tick."; i++ {
			steps = append(steps, answerOrTick(t, c, 10*time.Millisecond))
		}
	}
	said := strings.Join(steps, "")
	cl.expect(said)
	for range 2 {
		crash(c)
		cl = cl.recover(5, int64(len(said)), 6)
		c = s.accept()
		for i, want := range steps {
			if got := answerOrTick(t, c, time.Hour); got != want {
				t.Fatalf("step %d: %q, before the crash %q", i, got, want)
			}
		}
		cl.expect(said[5:])
	}
	cl.send("three")
	for answerOrTick(t, c, time.Hour) != "THREE" {
	}
	cl.expect("THREE")
	if len(l.mismatches) != 0 {
		t.Errorf("the engine heard %+v", l.mismatches)
	}
}

// TestShortWriteComesAgain: so does a write that a deadline cut short.
func TestShortWriteComesAgain(t *testing.T) {
	l, s, c, cl := pair(t, ListenConfig{})
	big := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	serve := func(c *Conn, patience time.Duration, drain func()) (n int) {
		c.SetWriteDeadline(time.Now().Add(patience))
		n, err := c.Write(big)
		timedOut(t, "write", err)
		c.SetWriteDeadline(time.Time{})
		drain()
		if _, err := c.Write([]byte("that was it")); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var n int
	read := make(chan error)
	n = serve(c, 20*time.Millisecond, func() {
		all := l.recorded(cl.slot) + int64(len("that was it"))
		go func() {
			_, err := io.CopyN(io.Discard, cl, all)
			read <- err
		}()
	})
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	left := int64(n + 11)
	crash(c)
	cl = cl.recover(left-5, left, 0)
	if again := serve(s.accept(), time.Hour, func() {}); again != n {
		t.Errorf("wrote %d, before the crash %d", again, n)
	}
	cl.expect("as it"[:5])
	if len(l.mismatches) != 0 {
		t.Errorf("the engine heard %+v", l.mismatches)
	}
}

func (l *lab) recorded(slot uint32) int64 {
	h, _ := l.journal().Head(slot)
	return h.Recorded
}

const tickEnv = "FTNET_TEST_TICK"

// tick is the handler of the killed server in TestKillTimeouts. Each line that it writes depends on
// all lines and time-outs before.
func tick(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 100)
	line := ""
	for state := 0; ; {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := c.Read(buf)
		line += string(buf[:n])
		var out string
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			state, out = ticked(state, "tick")
		case err != nil:
			return
		}
		for {
			one, rest, whole := strings.Cut(line, "\n")
			if !whole {
				break
			}
			var s string
			state, s = ticked(state, one)
			out, line = out+s, rest
		}
		if _, err := io.WriteString(c, out); err != nil {
			return
		}
	}
}

func ticked(state int, word string) (int, string) {
	for _, b := range []byte(word) {
		state = (state*31 + int(b)) & 0xffffff
	}
	return state, fmt.Sprintf("%.1s%06x\n", word, state)
}

// TestKillTimeouts kills a server that writes at time-outs, at random moments: what the client gets is
// what one execution would have written.
func TestKillTimeouts(t *testing.T) {
	l := newLab(t)
	start := killed(t, tickEnv+"=1")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	cmd, addr := start()
	cl := l.dial(addr)
	var got []byte // all that the client has
	var sent []string
	state, said, ticks := 0, 0, 0 // after the first parsed bytes of got
	parsed := 0
	parse := func() {
		t.Helper()
		for ; len(got)-parsed >= 8; parsed += 8 {
			word := "tick"
			if ticks++; got[parsed] != 't' {
				word, said, ticks = sent[said], said+1, ticks-1
			}
			var want string
			if state, want = ticked(state, word); string(got[parsed:parsed+8]) != want {
				t.Fatalf("the client got %q at offset %d, want %q", got[parsed:parsed+8], parsed, want)
			}
		}
	}
	receive := func(min int) {
		t.Helper()
		buf := make([]byte, 4096)
		cl.SetReadDeadline(time.Now().Add(20 * time.Second))
		for n := 0; min < 0 || n < min; {
			k, err := cl.Read(buf)
			n += k
			got = append(got, buf[:k]...)
			if err != nil && min < 0 {
				break
			}
			if err != nil {
				t.Fatalf("client: %v", err)
			}
		}
		parse()
	}
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		for range rng.IntN(4) {
			sent = append(sent, fmt.Sprintf("line %d", len(sent)))
			cl.send(sent[len(sent)-1] + "\n")
			receive(1 + rng.IntN(30))
		}
		receive(1 + rng.IntN(100))
		cmd.Process.Kill()
		cmd.Wait()
		receive(-1) // what had left arrives; the engine has seen it
		left := len(got)
		una := rng.IntN(left + 1)
		stable := rng.IntN(len(l.logs[cl.slot]) + 1)
		if h, _ := l.j.Head(cl.slot); h.Overflow {
			t.Fatalf("%+v", h)
		}
		l.j.Sweep()
		cmd, _ = start()
		cl = cl.recover(int64(una), int64(left), int64(stable))
		again := make([]byte, left-una) // comes once more
		cl.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := io.ReadFull(cl, again); err != nil || !bytes.Equal(again, got[una:]) {
			t.Fatalf("the client got %d of %d bytes again, or others: %v", n, left-una, err)
		}
	}
	cl.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mismatches) != 0 || ticks == 0 || said == 0 {
		t.Errorf("mismatches: %+v, %d ticks, %d lines", l.mismatches, ticks, said)
	}
	t.Logf("%d ticks, %d lines", ticks, said)
}

func end(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}
