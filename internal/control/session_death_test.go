//go:build linux

package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestDeathWhileResuming: at each step of a takeover the engine is killed; the
// one after it is told all.
func TestDeathWhileResuming(t *testing.T) {
	l, s, o := session(t, nil)
	listen(t, s, 1, 10)
	l.die()
	for i, step := range []string{"resume test", "protect 1", "listening 1", "resumed"} {
		met := make(chan struct{})
		dying := begin(t, s.path, fmt.Sprint(i), func(l *life) {
			l.refuse = func(what string) error {
				if what == step {
					l.server.Leave()
					close(met)
					time.Sleep(10 * time.Millisecond) // the connection closes meanwhile
				}
				return nil
			}
		})
		<-met
		dying.stop()
	}
	last := begin(t, s.path, "last", nil)
	o.await(t, "open 1 journal, lost true <nil>, resumed")
	if got, want := last.words(), "resume test, protect 1, listening 1, resumed"; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

// TestClosedWhileResuming: what is closed while an engine takes over it hears last.
func TestClosedWhileResuming(t *testing.T) {
	l, s, o := session(t, nil)
	listen(t, s, 1, 10)
	listen(t, s, 2, 20)
	l.die()
	met, hold := make(chan struct{}), make(chan struct{})
	next := begin(t, s.path, "second", func(l *life) {
		l.refuse = func(what string) error {
			if what == "resumed" {
				close(met)
				<-hold
			}
			return nil
		}
	})
	<-met
	if err := s.Closed(t.Context(), Closed{ID: 1}); err != nil {
		t.Error(err)
	}
	close(hold)
	o.await(t, "open 1 journal, lost true <nil>, resumed")
	want := "resume test, protect 1, listening 1, protect 2, listening 2, resumed, closed 1"
	if got := next.words(); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

// TestByeWhileResuming: an engine that ends on purpose before it has taken over.
func TestByeWhileResuming(t *testing.T) {
	l, s, o := session(t, nil)
	l.die()
	met := make(chan struct{})
	next := begin(t, s.path, "second", func(l *life) {
		l.refuse = func(what string) error {
			if what == "resumed" {
				close(met)
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		}
	})
	<-met
	next.stop()
	<-s.Done()
	o.await(t, "open 1 journal, lost true <nil>, lost false <nil>")
}

func TestWaitIsBounded(t *testing.T) {
	l, s, o := session(t, nil)
	l.die()
	o.await(t, "open 1 journal, lost true <nil>")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Protect(ctx, Protect{ID: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("protect: %v", err)
	}
	if len(s.listeners) != 0 {
		t.Error("a listener that is not protected stays known")
	}
	if _, err := s.ReadLog(ctx, 1, 1, 1, 0, make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

// TestManyDeaths: engines die again and again while everything is asked at
// once. In the end the last one knows exactly the listeners that there are.
func TestManyDeaths(t *testing.T) {
	l, s, _ := session(t, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	open := make([]map[uint64]bool, 4)
	for i := range open {
		open[i] = map[uint64]bool{}
		wg.Go(func() {
			for n := uint64(0); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := uint64(i)<<32 | n + 1
				if err := s.Protect(t.Context(), Protect{ID: id, Port: uint16(i*1000) + uint16(n%7)}); err != nil {
					t.Errorf("protect: %v", err)
					return
				}
				if _, err := s.Listening(t.Context(), Listening{ID: id}); err != nil {
					t.Errorf("listening: %v", err)
					return
				}
				open[i][id] = true
				if len(open[i]) > 3 {
					for old := range open[i] {
						if err := s.Closed(t.Context(), Closed{ID: old}); err != nil {
							t.Errorf("closed: %v", err)
						}
						delete(open[i], old)
						break
					}
				}
			}
		})
		wg.Go(func() {
			p := make([]byte, 10)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.ReadLog(t.Context(), 1, 1, 1, 0, p); err != nil {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	for i := range 20 {
		time.Sleep(time.Duration(i%5) * 5 * time.Millisecond)
		l.die()
		l = begin(t, s.path, fmt.Sprint(i), nil)
	}
	close(stop)
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ids := range open {
		for id := range ids {
			if l.ports[id] != "listening" {
				t.Errorf("listener %x is %q to the engine", id, l.ports[id])
			}
			delete(l.ports, id)
		}
	}
	for id, state := range l.ports {
		if state == "listening" {
			t.Errorf("listener %x is closed; the engine does not know", id)
		}
	}
}

// TestContextEnds: who does not wait any longer for the engine costs the process nothing, and the engine
// hears that the listener is not wanted any more.
func TestContextEnds(t *testing.T) {
	asked, hold := make(chan struct{}), make(chan struct{})
	l, s, o := session(t, func(l *life) {
		l.refuse = func(what string) error {
			if what == "protect 1" {
				close(asked)
				<-hold
			}
			return nil
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	for range 2 { // the second time it has ended before
		if err := s.Protect(ctx, Protect{ID: 1, Port: 10}); !errors.Is(err, context.Canceled) {
			t.Errorf("protect: %v", err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Closed(short, Closed{ID: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed, while the answer is due: %v", err)
	}
	close(hold)
	listen(t, s, 2, 20)
	if err := s.Protect(ctx, Protect{ID: 3, Port: 30}); !errors.Is(err, context.Canceled) { // it is not sent
		t.Errorf("protect: %v", err)
	}
	if err := s.Closed(t.Context(), Closed{ID: 2}); err != nil {
		t.Error(err)
	}
	if got, want := l.words(), "hello, protect 1, closed 1, protect 2, listening 2, closed 2"; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	o.await(t, "open 1 journal")
}
