//go:build linux

package ftnet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
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
