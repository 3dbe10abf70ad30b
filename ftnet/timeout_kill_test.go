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
)

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
