//go:build linux

package ftnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
)

// A restarted handler reads the same lengths again, its writes are discarded
// as far as the client has them, and it goes on live; twice over.
func TestReplay(t *testing.T) {
	l, s, c, cl := pair(t, ListenConfig{})
	if c.Recovered() {
		t.Error("a first connection calls itself recovered")
	}
	cl.send("one")
	step(t, c, "one", "ONE")
	cl.send("two!")
	step(t, c, "two!", "TWO!")
	cl.expect("ONETWO!")
	for range 2 {
		crash(c)
		cl = cl.recover(7, 7, 7)
		c = s.accept()
		if !c.Recovered() || !c.Protected() {
			t.Error("the connection is not recovered")
		}
		step(t, c, "one", "ONE")
		if h, _ := l.j.Head(cl.slot); h.Written != 3 || h.Recorded != 7 {
			t.Errorf("while replaying: %+v", h)
		}
		step(t, c, "two!", "TWO!")
	}
	cl.send("three")
	step(t, c, "three", "THREE")
	cl.expect("THREE")
	crash(c)
	cl = cl.recover(7, 12, 12)
	c = s.accept()
	step(t, c, "one", "ONE")
	step(t, c, "two!", "TWO!")
	step(t, c, "three", "THREE")
	cl.expect("THREE") // it was not acknowledged
	cl.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the client's end: %v", err)
	}
}

// A read whose bytes are only partly logged is filled from the live
// connection; bytes beyond the record come as they fit.
func TestReplayStraddlesTheLog(t *testing.T) {
	_, s, c, cl := pair(t, ListenConfig{})
	cl.send("0123456789")
	step(t, c, "0123456789", "")
	crash(c)
	cl = cl.recover(0, 0, 4)
	c = s.accept()
	step(t, c, "0123456789", "")
	cl.send("abcdef")
	step(t, c, "abcdef", "")
	crash(c)

	// The process was killed before it read what the log has.
	cl.lab.logs[cl.slot] = append(cl.lab.logs[cl.slot], "unread"...)
	cl = cl.recover(0, 0, 22)
	c = s.accept()
	step(t, c, "0123456789", "")
	small := make([]byte, 2)
	for _, want := range []string{"ab", "cd", "ef"} { // a smaller buffer than before
		if n, err := c.Read(small); string(small[:n]) != want || err != nil {
			t.Fatalf("read %q, %v, want %q", small[:n], err, want)
		}
	}
	step(t, c, "unread", "")
	crash(c)
	cl.recover(0, 0, 22)
	c = s.accept()
	step(t, c, "0123456789", "")
	step(t, c, "abcdef", "")
	step(t, c, "unread", "") // recorded, although it was read from the log
}

// A connection that has a base begins there: nothing of what lies before is read, written or compared, although the
// journal has it.
func TestReplayFromBase(t *testing.T) {
	l, s, c, cl := pair(t, ListenConfig{})
	cl.send("one")
	step(t, c, "one", "ONE")
	cl.send("two!")
	step(t, c, "two!", "TWO!")
	cl.expect("ONETWO!")
	if state, err := c.via.State(t.Context()); state != nil || err != nil {
		t.Errorf("at the beginning: state %q, %v", state, err)
	}
	crash(c)
	cl = cl.recoverFrom(journal.Base{In: 3, Out: 3}, 7, 7, 7)
	c = s.accept()
	if h, _ := l.j.Head(cl.slot); h.Written != 3 || h.Recorded != 7 {
		t.Errorf("at the base: %+v", h)
	}
	if state, err := c.via.State(t.Context()); string(state) != "state at 3" || err != nil {
		t.Errorf("state %q, %v", state, err)
	}
	step(t, c, "two!", "TWO!")
	cl.send("three")
	step(t, c, "three", "THREE")
	cl.expect("THREE")
	crash(c)

	// In the middle of a read, of which the rest is one.
	cl = cl.recoverFrom(journal.Base{In: 5, Out: 4}, 4, 12, 12)
	c = s.accept()
	step(t, c, "o!", "WO!")
	step(t, c, "three", "THREE")
	cl.expect("WO!THREE") // it was not acknowledged
	crash(c)

	cl = cl.recoverFrom(journal.Base{In: 5, Out: 4}, 12, 12, 12)
	c = s.accept()
	step(t, c, "o!", "WO!")
	_, err := c.Write([]byte("THROE"))
	var m *MismatchError
	if !errors.As(err, &m) || m.Offset != 10 {
		t.Errorf("write: %v", err)
	}
	cl.Close()
}

func TestMismatch(t *testing.T) {
	_, s, c, cl := pair(t, ListenConfig{})
	cl.send("in")
	step(t, c, "in", "right answer")
	cl.expect("right answer")
	crash(c)
	cl = cl.recover(12, 12, 2)
	c = s.accept()
	step(t, c, "in", "right")
	_, err := c.Write([]byte(" anvil"))
	var oe *net.OpError
	var me *MismatchError
	if !errors.As(err, &oe) || oe.Op != "write" || !errors.As(err, &me) || me.Offset != 8 || me.End != 9 || me.Early {
		t.Fatalf("write: %v", err)
	}
	l := cl.lab
	l.mu.Lock()
	if len(l.mismatches) != 1 || l.mismatches[0].Offset != 8 || !l.mismatches[0].Exact || l.mismatches[0].Slot != cl.slot {
		t.Errorf("the engine heard %+v", l.mismatches)
	}
	l.mu.Unlock()
	cl.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := cl.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v, want a reset", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after the reset: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("close after the reset: %v", err)
	}
}

func TestMismatchInBlock(t *testing.T) {
	_, s, c, cl := pair(t, ListenConfig{})
	out := strings.Repeat("x", 5000)
	if _, err := c.Write([]byte(out)); err != nil {
		t.Fatal(err)
	}
	cl.expect(out)
	crash(c)
	cl.recover(5000, 5000, 0)
	c = s.accept()
	bad := []byte(out)
	bad[1500] = 'y'
	_, err := c.Write(bad)
	var me *MismatchError
	if !errors.As(err, &me) || me.Offset != 1024 || me.End != 2048 {
		t.Fatalf("write: %v", err)
	}
}

// Output that the client may have, but has not acknowledged, reaches the
// kernel only when its block has been verified.
func TestHoldRule(t *testing.T) {
	_, s, c, cl := pair(t, ListenConfig{})
	out := strings.Repeat("0123456789abcdef", 200) // 3200: blocks to 3072, then bytes
	c.Write([]byte(out))
	cl.expect(out)
	crash(c)
	cl = cl.recover(1100, 3100, 0)
	c = s.accept()
	c.Write([]byte(out[:2000])) // block [1024,2048) is incomplete
	cl.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := cl.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("unverified output left: %d bytes, %v", n, err)
	}
	c.Write([]byte(out[2000:2050]))
	cl.expect(out[1100:2048]) // and not the two bytes above
	c.Write([]byte(out[2050:3090]))
	cl.expect(out[2048:3090]) // compared byte for byte
	c.Write([]byte(out[3090:] + "live"))
	cl.expect(out[3090:] + "live")
	c.CloseWrite()
	if rest, err := io.ReadAll(cl); err != nil || len(rest) != 0 {
		t.Fatalf("in the end %q, %v", rest, err)
	}
}

func TestCompareLength(t *testing.T) {
	_, s, c, cl := pair(t, ListenConfig{Compare: CompareLength})
	c.Write([]byte("date: monday\n"))
	cl.expect("date: monday\n")
	crash(c)
	cl = cl.recover(13, 13, 0)
	c = s.accept()
	if n, err := c.Write([]byte("date: sunday\nnext")); n != 17 || err != nil {
		t.Fatal(n, err)
	}
	cl.expect("next")
}

// An end before the point where the client is would come in the middle of what
// it has.
func TestEarlyEnd(t *testing.T) {
	for name, end := range map[string]func(*Conn) error{"Close": (*Conn).Close, "CloseWrite": (*Conn).CloseWrite} {
		for _, compare := range []Compare{CompareStrict, CompareLength} {
			t.Run(name+" "+compare.String(), func(t *testing.T) {
				l, s, c, cl := pair(t, ListenConfig{Compare: compare})
				c.Write([]byte("hello, world"))
				cl.expect("hello, world")
				crash(c)
				cl = cl.recover(10, 12, 0)
				c = s.accept()
				c.Write([]byte("hello"))
				var me *MismatchError
				if err := end(c); !errors.As(err, &me) || !me.Early || me.Offset != 5 || me.End != 12 {
					t.Fatalf("%v", err)
				}
				if h, _ := l.j.Head(cl.slot); h.State.String() != "accepted" || !h.Released {
					t.Errorf("head %+v", h)
				}
				cl.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := cl.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the client sees %v, want a reset", err)
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				if len(l.mismatches) != 1 {
					t.Errorf("the engine heard %v", l.mismatches)
				}
			})
		}
	}
}

// An abort is never a mismatch.
func TestAbortWhileReplaying(t *testing.T) {
	l, s, c, cl := pair(t, ListenConfig{})
	c.Write([]byte("hello"))
	cl.expect("hello")
	crash(c)
	cl.recover(5, 5, 0)
	c = s.accept()
	c.SetLinger(0)
	if err := c.Close(); err != nil || len(l.mismatches) != 0 {
		t.Fatal(err, l.mismatches)
	}
}

// Deadlines and Close reach a read that waits for the log.
func TestReplayReadIsInterrupted(t *testing.T) {
	hasten(t)
	l, s, c, cl := pair(t, ListenConfig{})
	cl.send("data")
	step(t, c, "data", "")
	crash(c)
	l.delay = make(chan struct{})
	defer close(l.delay)
	cl.recover(0, 0, 4)
	c = s.accept()
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	var ne net.Error
	if _, err := c.Read(make([]byte, 9)); !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	c.SetDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	c.SetDeadline(time.Time{})
	got := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 9))
		got <- err
	}()
	time.Sleep(10 * time.Millisecond) // lets the reader reach the log; either way it must end
	c.Close()
	if err := <-got; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

// A megabyte each way, random sizes, crash, all again.
func TestReplayBulk(t *testing.T) {
	_, s, c, cl := pair(t, ListenConfig{})
	in := bytes.Repeat([]byte("client says. "), 80_000)
	out := bytes.Repeat([]byte("server says: "), 80_000)
	cl.lab.logs[cl.slot] = in
	run := func(c *Conn) (got []byte, sizes []int) {
		done := make(chan error)
		go func() {
			var err error
			for p, n := out, 1; len(p) > 0 && err == nil; n = n*3%100_003 + 1 {
				n = min(n, len(p))
				_, err = c.Write(p[:n])
				p = p[n:]
			}
			done <- err
		}()
		buf := make([]byte, 50_000)
		for len(got) < len(in) {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
			sizes = append(sizes, n)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return got, sizes
	}
	// serve runs the handler while the client sends and gets its part.
	serve := func(c *Conn, cl *client, send []byte, want string) (got []byte, sizes []int) {
		var wg sync.WaitGroup
		wg.Go(func() { cl.Write(send) })
		wg.Go(func() {
			back := make([]byte, len(want))
			if n, err := io.ReadFull(cl, back); err != nil || string(back) != want {
				t.Errorf("client got %d of %d bytes, or others: %v", n, len(want), err)
			}
		})
		got, sizes = run(c)
		wg.Wait()
		return got, sizes
	}
	got, lengths := serve(c, cl, in, string(out))
	if !bytes.Equal(got, in) {
		t.Fatal("input differs")
	}
	crash(c)
	stable, una := int64(len(in)-70_000), int64(len(out)-200_000)
	cl = cl.recover(una, int64(len(out)), stable)
	c = s.accept()
	got, again := serve(c, cl, nil, string(out[una:]))
	if !bytes.Equal(got, in) {
		t.Fatal("input differs after the crash")
	}
	if len(again) != len(lengths) {
		t.Fatalf("%d reads, before the crash %d", len(again), len(lengths))
	}
	for i := range again {
		if again[i] != lengths[i] {
			t.Fatalf("read %d has %d bytes, before the crash %d", i, again[i], lengths[i])
		}
	}
}
