//go:build linux

package ftnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
)

// returning is a pair whose engine comes back.
func returning(t testing.TB) (*lab, *server, *Conn, *client) {
	t.Helper()
	l := newLab(t)
	l.returns = true
	s := l.listen(ListenConfig{})
	cl := l.dial(s.Addr())
	t.Cleanup(func() { cl.Close() })
	return l, s, s.accept(), cl
}

// TestEngineReturns: a connection goes on while there is no engine, and the
// next one knows all of it. New ones are protected again.
func TestEngineReturns(t *testing.T) {
	l, s, c, cl := returning(t)
	cl.send("one")
	step(t, c, "one", "ONE")
	l.die()
	cl.send("two")
	step(t, c, "two", "TWO")
	cl.expect("ONETWO")
	l.start()
	l.await("resumed", 1)
	h, ok := l.j.Head(cl.slot)
	if !ok || h.State != journal.Accepted || h.Recorded != 6 || !c.Protected() {
		t.Errorf("the next engine knows %+v", h)
	}
	cl.send("three")
	step(t, c, "three", "THREE")
	cl.expect("THREE")
	other := l.dial(s.Addr())
	defer other.Close()
	if oc := s.accept(); !oc.Protected() {
		t.Error("a connection of the next engine is unprotected")
	}

	crash(c)
	again := cl.recover(3, 11, 11)
	defer again.Close()
	c = s.accept()
	for _, w := range []string{"one", "two", "three"} {
		step(t, c, w, strings.ToUpper(w))
	}
	again.expect("TWOTHREE")
	again.send("four")
	step(t, c, "four", "FOUR")
	again.expect("FOUR")
	if len(l.mismatches) != 0 {
		t.Errorf("mismatches %+v", l.mismatches)
	}
}

// TestEngineReturnsInReplay: a handler that is rolled forward waits for the log.
func TestEngineReturnsInReplay(t *testing.T) {
	l, s, c, cl := returning(t)
	text := strings.Repeat("0123456789", 100_000) // more than is fetched at once
	go io.Copy(io.Discard, c)
	cl.send(text)
	for h, _ := l.j.Head(cl.slot); h.ReadRecords == 0; h, _ = l.j.Head(cl.slot) {
		time.Sleep(time.Millisecond)
	}
	crash(c)
	again := cl.recover(0, 0, int64(len(text)))
	defer again.Close()
	c = s.accept()

	l.mu.Lock()
	hold := make(chan struct{})
	l.delay = hold
	l.mu.Unlock()
	got := make(chan string)
	go func() {
		buf := make([]byte, len(text))
		n, err := io.ReadFull(c, buf)
		if err != nil {
			t.Errorf("after %d bytes: %v", n, err)
		}
		got <- string(buf[:n])
	}()
	time.Sleep(20 * time.Millisecond) // the read is asked for
	time.AfterFunc(50*time.Millisecond, func() { close(hold) })
	l.die() // in the middle of it
	c.SetWriteDeadline(time.Now())
	select {
	case <-got:
		t.Fatal("the log was read without an engine")
	case <-time.After(50 * time.Millisecond):
	}
	l.start()
	if <-got != text {
		t.Error("something else was read")
	}
}

// TestEngineAway: what waits for the engine ends with its deadline or Close.
func TestEngineAway(t *testing.T) {
	hasten(t)
	l, s, c, cl := returning(t)
	cl.send("abc")
	step(t, c, "abc", "")
	crash(c)
	again := cl.recover(0, 0, 3)
	defer again.Close()
	c = s.accept()
	l.die()
	buf := make([]byte, 3)
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	time.AfterFunc(20*time.Millisecond, func() { c.Close() })
	if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing the listener: %v", err)
	}
	l.start()
	l.await("resumed", 1)
	if got := fmt.Sprint(l.heard); got != "[protect tcp strict listening protect tcp strict resumed]" {
		t.Errorf("the engines heard %s", got) // the last protect is of a port that was left
	}
}

// TestEngineReturnsInListen: Listen, Accept and Close of a listener while there
// is no engine.
func TestEngineReturnsInListen(t *testing.T) {
	l, s, _, _ := returning(t)
	accepted := make(chan net.Conn)
	go func() {
		c, err := s.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	l.die()
	lc := ListenConfig{Logger: slog.New(slog.DiscardHandler)}
	listened := make(chan net.Listener)
	go func() {
		ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
		}
		listened <- ln
	}()
	select {
	case <-listened:
		t.Fatal("listening without an engine")
	case <-time.After(50 * time.Millisecond):
	}
	l.start()
	second := &server{(<-listened).(*Listener), t}
	defer second.Close()
	for _, ln := range []*server{s, second} {
		cl := l.dial(ln.Addr())
		defer cl.Close()
		var c net.Conn
		if ln == s {
			c = <-accepted
		} else {
			c = ln.accept()
		}
		if !c.(*Conn).Protected() {
			t.Error("a connection is unprotected")
		}
		c.Close()
	}
}

// TestPlannedEndStays: an engine that would return, but ends on purpose, is not
// awaited: the next Listen looks for it.
func TestPlannedEndStays(t *testing.T) {
	l, s, c, cl := returning(t)
	l.stop()
	<-s.engine.session.Done()
	cl.send("abc")
	step(t, c, "abc", "ABC")
	cl.expect("ABC")
	if _, err := Listen("tcp4", "127.0.0.1:0"); !errors.Is(err, ErrNoEngine) {
		t.Errorf("listen: %v", err)
	}
	l.start()
	ln := l.listen(ListenConfig{})
	if ln.engine == s.engine || !ln.Protected() {
		t.Error("the next Listen has no engine of its own")
	}
}

// TestEngineDiesAgainAndAgain: many connections talk, come and go while engines
// die. Each reply is right, and the last engine knows what was said.
func TestEngineDiesAgainAndAgain(t *testing.T) {
	l := newLab(t)
	l.returns = true
	s := l.listen(ListenConfig{})
	go func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go func() { // an echo that closes at a line's end
				defer c.Close()
				buf := make([]byte, 2000)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil || bytes.IndexByte(buf[:n], '\n') >= 0 {
						return
					}
				}
			}()
		}
	}()
	// Clients are let in while there is an engine: that is the gate's part.
	var gate sync.RWMutex
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var conns atomic.Int32
	for i := range 30 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 5))
			for {
				gate.RLock()
				cl := l.dial(s.Addr())
				gate.RUnlock()
				conns.Add(1)
				// The record is the next engine's, if this one dies.
				talk := func(text string) bool {
					if _, err := cl.Write([]byte(text)); err != nil {
						t.Errorf("client %d: %v", i, err)
						return false
					}
					got := make([]byte, len(text))
					cl.SetReadDeadline(time.Now().Add(10 * time.Second))
					if _, err := io.ReadFull(cl, got); err != nil || string(got) != text {
						t.Errorf("client %d: %q, %v, want %q", i, got, err, text)
						return false
					}
					return true
				}
				sent := 0
				for range rng.IntN(30) {
					text := strings.Repeat("x", 1+rng.IntN(1000))
					if !talk(text) {
						return
					}
					sent += len(text)
					time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
				}
				gate.RLock()
				h, ok := l.journal().Head(cl.slot)
				gate.RUnlock()
				if !ok || h.State != journal.Accepted && sent > 0 || h.Recorded != int64(sent) || h.Overflow {
					t.Errorf("client %d has got %d bytes back; the engine knows %+v, %v", i, sent, h, ok)
				}
				if !talk("\n") {
					return
				}
				cl.Close()
				gate.RLock()
				l.journal().Withdraw(cl.slot)
				gate.RUnlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	rounds := 15
	if testing.Short() {
		rounds = 4
	}
	for i := range rounds {
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
		gate.Lock()
		l.die()
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		l.start()
		l.await("resumed", i+1)
		gate.Unlock()
	}
	close(stop)
	wg.Wait()
	s.Close()
	t.Log(conns.Load(), "connections")
}
