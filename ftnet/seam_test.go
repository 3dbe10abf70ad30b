//go:build linux

package ftnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
)

// Tests of Conn over a fake carrier and a fake replayer: no socket, no engine.

// reads are the lengths in a record, one for each read.
func (k *keeper) reads() (list []int) {
	for length, count := range k.j.ReadLengths(0) {
		for range count {
			list = append(list, length)
		}
	}
	return list
}

func TestLiveIsRecorded(t *testing.T) {
	k, f := newKeeper(t), &fakeCarrier{room: 5}
	c := fakeConn(t, k, f, nil)
	f.live.WriteString("abcdef")
	buf := make([]byte, 4)
	for _, want := range []string{"abcd", "ef"} {
		if n, err := c.Read(buf); string(buf[:n]) != want || err != nil {
			t.Fatalf("read %q, %v, want %q", buf[:n], err, want)
		}
	}
	if _, err := c.Read(buf); err != io.EOF {
		t.Errorf("in the end: %v", err)
	}
	if got := fmt.Sprint(k.reads()); got != "[4 2]" {
		t.Errorf("recorded reads %s", got)
	}
	f.before = func(p []byte) {
		if h := k.head(); h.Recorded != int64(f.sent.Len()+len(p)) {
			t.Errorf("recorded %d before %d bytes leave after %d", h.Recorded, len(p), f.sent.Len())
		}
	}
	if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if n, err := c.Write([]byte("defg")); n != 2 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d, %v, with room for 2", n, err)
	}
	if h := k.head(); h.Recorded != 5 || f.sent.String() != "abcde" {
		t.Errorf("recorded %d, sent %q", h.Recorded, f.sent.String())
	}
}

// What a read consists of is fetched page by page and from the live connection, and told once.
func TestReadPortions(t *testing.T) {
	k := newKeeper(t)
	f := &fakeCarrier{from: start{logged: 10}, log: []byte("0123456789"), page: 3}
	r := &fakeReplayer{next: []portion{{at: 0, logged: 7}, {at: 7, logged: 3, live: 4}, {at: 14, live: 2}}}
	c := fakeConn(t, k, f, r)
	if !c.Recovered() {
		t.Error("not recovered")
	}
	f.live.WriteString("abcde")
	buf := make([]byte, 20)
	for _, want := range []string{"0123456", "789abcd"} {
		if n, err := c.Read(buf); string(buf[:n]) != want || err != nil {
			t.Fatalf("read %q, %v, want %q", buf[:n], err, want)
		}
	}
	// What came before an error counts, and the error comes again.
	if n, err := c.Read(buf); string(buf[:n]) != "e" || err != nil {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	if n, err := c.Read(buf); n != 0 || err != io.EOF {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	f.live.WriteString("fgh")
	for _, want := range []string{"f", "gh"} { // the last of the portion, then live
		if n, err := c.Read(buf); string(buf[:n]) != want || err != nil {
			t.Fatalf("read %q, %v, want %q", buf[:n], err, want)
		}
	}
	if got := fmt.Sprint(k.reads()); got != "[2]" {
		t.Errorf("recorded reads %s: only those that are live are the connection's to record", got)
	}
}

// Due output goes out before anything new, also after a deadline.
func TestDueIsSentFirst(t *testing.T) {
	k, f := newKeeper(t), &fakeCarrier{room: 4}
	r := &fakeReplayer{want: "0123456789", acked: 2}
	c := fakeConn(t, k, f, r)
	if n, err := c.Write([]byte("0123456789new")); n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if raw, err := c.SyscallConn(); err == nil { // the socket is no real one; the rule comes first
		if err := raw.Write(func(uintptr) bool { return true }); !errors.Is(err, ErrReplaying) {
			t.Errorf("raw write: %v", err)
		}
	}
	f.room = -1
	if n, err := c.Write([]byte("new")); n != 3 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if got := f.sent.String(); got != "23456789new" {
		t.Errorf("sent %q", got)
	}
	if h := k.head(); h.Recorded != 3 {
		t.Errorf("recorded %d: only what is live is the connection's to record", h.Recorded)
	}
}

func TestMismatchAborts(t *testing.T) {
	for name, end := range map[string]func(c *Conn) error{
		"write":       func(c *Conn) error { _, err := c.Write([]byte("0123x")); return err },
		"close":       (*Conn).Close,
		"close write": (*Conn).CloseWrite,
	} {
		k, f := newKeeper(t), &fakeCarrier{room: -1}
		c := fakeConn(t, k, f, &fakeReplayer{want: "0123456789", acked: 10})
		c.Write([]byte("012"))
		var m *MismatchError
		if err := end(c); !errors.As(err, &m) || m.Offset != 3 || m.Early != (name != "write") {
			t.Errorf("%s: %v", name, err)
		}
		if fmt.Sprint(f.calls) != "[abort]" || len(f.missed) != 1 || f.missed[0].Offset != 3 || !f.missed[0].Exact {
			t.Errorf("%s: the carrier was told %v, %+v", name, f.calls, f.missed)
		}
		if h := k.head(); h.State != journal.Accepted || !h.Released {
			t.Errorf("%s: head %+v", name, h)
		}
		for what, again := range map[string]func() error{"close": c.Close, "close write": c.CloseWrite} {
			if err := again(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s, then %s: %v", name, what, err)
			}
		}
		if len(f.calls) != 1 {
			t.Errorf("%s: the carrier was told %v", name, f.calls)
		}
	}
}

// A mismatch that is found while Close is under way is nothing to say any more.
func TestMismatchWhileClosing(t *testing.T) {
	k, f := newKeeper(t), &fakeCarrier{room: -1}
	r := &fakeReplayer{want: "0123456789"}
	c := fakeConn(t, k, f, r)
	c.abort.Store(true)
	closed := make(chan error)
	r.other = func() {
		go func() { closed <- c.Close() }()
		for !c.closing.Load() {
			time.Sleep(time.Millisecond)
		}
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := <-closed; err != nil || fmt.Sprint(f.calls) != "[close]" || len(f.missed) != 0 {
		t.Errorf("close: %v; the carrier was told %v, %+v", err, f.calls, f.missed)
	}
}

func TestCloseOnce(t *testing.T) {
	k, f := newKeeper(t), &fakeCarrier{room: -1}
	c := fakeConn(t, k, f, nil)
	for _, err := range []error{c.CloseRead(), c.CloseWrite(), c.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if got := strings.Join(f.calls, ", "); got != "close read, close write, close" {
		t.Errorf("the carrier was told %s", got)
	}
	if h := k.head(); !h.Released {
		t.Errorf("head %+v", h)
	}
}

// A read that waits for the log ends with the deadline, and with Close.
func TestReadLogIsInterrupted(t *testing.T) {
	hasten(t)
	k, f := newKeeper(t), &fakeCarrier{from: start{logged: 5}, stuck: make(chan struct{}, 1)}
	c := fakeConn(t, k, f, &fakeReplayer{next: []portion{{logged: 5}}})
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	buf := make([]byte, 5)
	if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	for len(f.stuck) > 0 {
		<-f.stuck
	}
	done := make(chan error)
	go func() {
		_, err := c.Read(buf)
		done <- err
	}()
	<-f.stuck
	c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
