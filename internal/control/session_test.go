//go:build linux

package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
)

// TestResume: the next engine gets the journal and hears of all that is there;
// what was asked meanwhile it is asked, once.
func TestResume(t *testing.T) {
	l, s, o := session(t, nil)
	for id := range uint64(3) {
		listen(t, s, id+1, uint16(id+1)*10)
	}
	listen(t, s, 7, 30) // 3 is no longer the port's only one
	for _, id := range []uint64{2, 3} {
		if err := s.Closed(t.Context(), Closed{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Protect(t.Context(), Protect{ID: 4, Port: 40}); err != nil { // is about to listen
		t.Fatal(err)
	}
	l.die()
	o.await(t, "open 1 journal, lost true <nil>")
	if err := s.Closed(t.Context(), Closed{ID: 7}); err != nil {
		t.Error(err)
	}
	if err := s.Mismatch(t.Context(), 1, Mismatch{}); !errors.Is(err, ErrLost) {
		t.Errorf("mismatch: %v", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		p := make([]byte, 100)
		if n, err := s.ReadLog(t.Context(), 1, 1, 1, 0, p); err != nil || string(p[:n]) != "second" {
			t.Errorf("ReadLog: %q, %v", p[:n], err)
		}
	})
	wg.Go(func() {
		if r, err := s.Listening(t.Context(), Listening{ID: 4}); err != nil || r.Recovering != 4 {
			t.Errorf("listening: %+v, %v", r, err)
		}
	})
	time.Sleep(50 * time.Millisecond)
	next := begin(t, s.path, "second", nil)
	wg.Wait()
	o.await(t, "open 1 journal, lost true <nil>, resumed")
	want := "resume test, protect 1, listening 1, left 2, protect 4, listening 4, left 7, resumed"
	if got := next.words(); got != want || next.got != "journal" {
		t.Errorf("the next engine heard %s\nwant %s, got %q", got, want, next.got)
	}
	listen(t, s, 8, 80)
	if got, want := next.words(), want+", protect 8, listening 8"; got != want {
		t.Errorf("the next engine heard %s\nwant %s", got, want)
	}
	next.stop()
	<-s.Done()
	o.await(t, "open 1 journal, lost true <nil>, resumed, lost false <nil>")
}

// TestPlannedEnd: an engine that says so is not awaited.
func TestPlannedEnd(t *testing.T) {
	for name, edit := range map[string]func(*life){"bye": nil, "no return": func(l *life) { l.stays = true }} {
		t.Run(name, func(t *testing.T) {
			l, s, o := session(t, edit)
			listen(t, s, 1, 10)
			if l.stays {
				l.die()
			} else {
				l.stop()
			}
			<-s.Done()
			o.await(t, "open 1 journal, lost false <nil>")
			next := begin(t, s.path, "second", nil)
			if err := s.Protect(t.Context(), Protect{ID: 2}); !errors.Is(err, ErrLost) {
				t.Errorf("protect: %v", err)
			}
			if err := s.Closed(t.Context(), Closed{ID: 1}); !errors.Is(err, ErrLost) {
				t.Errorf("closed: %v", err)
			}
			if _, err := s.ReadLog(t.Context(), 1, 1, 1, 0, make([]byte, 1)); !errors.Is(err, ErrLost) {
				t.Errorf("read: %v", err)
			}
			if got := next.words(); got != "" {
				t.Errorf("the next engine heard %s", got)
			}
		})
	}
}

// TestGivenUp: the engine lives, but has no link to the process any more.
func TestGivenUp(t *testing.T) {
	l, s, o := session(t, nil)
	s.client.ctl.c.CloseWrite()
	<-s.Done()
	o.await(t, "open 1 journal, lost true <nil>, lost false engine: the engine has taken the end of the connection for the process's")
	if got := l.words(); got != "hello" {
		t.Errorf("the engine heard %s", got)
	}
	if err := s.Protect(t.Context(), Protect{ID: 2}); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "process's") {
		t.Errorf("protect: %v", err)
	}
}

func TestRefusedByNext(t *testing.T) {
	t.Run("all", func(t *testing.T) {
		l, s, o := session(t, nil)
		l.die()
		o.await(t, "open 1 journal, lost true <nil>")
		begin(t, s.path, "second", nil).stop() // its socket is gone again
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- Serve(ctx, ln, plain{l}) }()
		<-s.Done()
		if !errors.Is(s.Protect(t.Context(), Protect{ID: 1}), ErrLost) {
			t.Error("a session that was refused goes on")
		}
		cancel()
		<-done
	})
	t.Run("a listener", func(t *testing.T) {
		l, s, o := session(t, nil)
		listen(t, s, 1, 10)
		listen(t, s, 2, 20)
		l.die()
		unlucky := func(what string) error {
			if what == "protect 1" {
				return &Error{Code: CodeRefused, Message: "unlucky"}
			}
			return nil
		}
		next := begin(t, s.path, "second", func(l *life) { l.refuse = unlucky })
		o.await(t, "open 1 journal, lost true <nil>, refused 1, resumed")
		if got, want := next.words(), "resume test, protect 1, protect 2, listening 2, resumed"; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	})
}

// TestRefusedListening: a listener that is protected, but not let in, is closed for the engine, too.
func TestRefusedListening(t *testing.T) {
	l, s, o := session(t, func(l *life) {
		l.refuse = func(what string) error {
			if what == "listening 1" {
				return &Error{Code: CodeRefused, Message: "unlucky"}
			}
			return nil
		}
	})
	if err := s.Protect(t.Context(), Protect{ID: 1, Port: 10}); err != nil {
		t.Fatal(err)
	}
	var refused *Error
	if _, err := s.Listening(t.Context(), Listening{ID: 1}); !errors.As(err, &refused) || refused.Message != "unlucky" {
		t.Errorf("listening: %v", err)
	}
	listen(t, s, 2, 20) // that is no new question about 1
	if err := s.Closed(t.Context(), Closed{ID: 1}); err != nil {
		t.Error(err)
	}
	if got, want := l.words(), "hello, protect 1, listening 1, protect 2, listening 2, closed 1"; got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
	l.die()
	next := begin(t, s.path, "second", nil)
	o.await(t, "open 1 journal, lost true <nil>, resumed")
	if got, want := next.words(), "resume test, protect 2, listening 2, resumed"; got != want { // 1 has no connections
		t.Errorf("the next engine heard %s, want %s", got, want)
	}
}

// TestManyListeners: there is room in an announcement for more than the gate has ports.
func TestManyListeners(t *testing.T) {
	l, s, o := session(t, nil)
	const most = 5000
	address := "[fe80:1234:1234:1234:1234:1234:1234:1234]:65535"
	s.change(func() {
		for id := range uint64(most) {
			p := Protect{ID: id, Network: "tcp6", Address: address, Port: uint16(id), Compare: policy.CompareLength, Netns: 1 << 60, Asked: address}
			s.listeners[id] = &listener{Listener: Listener{Protect: p, Listens: &Listening{ID: id, Network: "tcp", Address: address}}}
		}
	})
	l.die()
	next := begin(t, s.path, "second", nil)
	o.await(t, "open 1 journal, lost true <nil>, resumed")
	if n := len(next.ports); n != most {
		t.Errorf("the next engine knows %d listeners", n)
	}
}

// TestManyLeft: what was left long ago is no burden to the engine that knows it.
func TestManyLeft(t *testing.T) {
	l, s, o := session(t, nil)
	for id := range uint64(20) {
		listen(t, s, id+1, uint16(id+1))
		if err := s.Closed(t.Context(), Closed{ID: id + 1}); err != nil {
			t.Fatal(err)
		}
	}
	announced := func(c *Client) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.announcement(c).Listeners)
	}
	if n := announced(s.client); n != 0 {
		t.Errorf("%d listeners are announced to the engine that knows them", n)
	}
	l.die()
	begin(t, s.path, "second", nil)
	o.await(t, "open 1 journal, lost true <nil>, resumed")
	if n := announced(nil); n != 20 {
		t.Errorf("%d listeners are announced to the next engine", n)
	}
}

// TestOwnJournal: an engine that brings a journal of its own has nothing of the
// connections of the one before, whatever their slots are.
func TestOwnJournal(t *testing.T) {
	l, s, o := session(t, nil)
	l.die()
	fd := memory(t, "another")
	second := begin(t, s.path, "second", func(l *life) { l.fd = fd })
	o.await(t, "open 1 journal, lost true <nil>, open 2 another, resumed")
	var ce *Error
	if _, err := s.ReadLog(t.Context(), 1, 1, 1, 0, make([]byte, 1)); !errors.As(err, &ce) || ce.Code != CodeStale {
		t.Errorf("read of the old journal's: %v", err)
	}
	if _, err := s.ReadLog(t.Context(), 2, 1, 1, 0, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	second.die()
	third := begin(t, s.path, "third", nil)
	o.await(t, "open 1 journal, lost true <nil>, open 2 another, resumed, lost true <nil>, resumed")
	if third.got != "another" {
		t.Errorf("the third engine got %q", third.got)
	}
}

// TestSuccessorIsNotAsked: a data connection that meets another engine than the
// control connection's is not used.
func TestSuccessorIsNotAsked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.sock")
	l := begin(t, path, "first", func(l *life) { l.fd = memory(t, "journal") })
	c, w, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(w.FD)
	defer c.Close()
	l.die()
	begin(t, path, "second", nil)
	if _, err := c.ReadLog(t.Context(), 1, 1, 0, make([]byte, 1)); !errors.Is(err, errSuccessor) {
		t.Errorf("read: %v", err)
	}
}

// TestDataConnectionsBreak: an engine that is there may close data connections, because
// it has too many or cannot get rid of an answer, and may be slow to greet. Whoever
// reads the log does not hear of that.
func TestDataConnectionsBreak(t *testing.T) {
	const breaks = 3
	var asked atomic.Int32
	_, s, _ := session(t, func(l *life) {
		l.stays = true
		l.onReads = func() {
			if asked.Add(1) <= breaks {
				l.server.breakData()
			}
		}
	})
	p := make([]byte, 100)
	n, err := s.ReadLog(t.Context(), 1, 1, 1, 0, p)
	if err != nil || string(p[:n]) != "first" || asked.Load() != breaks+1 {
		t.Errorf("read %q, %v, asked %d times", p[:n], err, asked.Load())
	}
}

// breakData closes the connections that read the log.
func (s *Server) breakData() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l, process := range s.conns {
		if !process {
			l.c.Close()
		}
	}
}

// TestOpenFails: what an engine brings is of no use.
func TestOpenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.sock")
	begin(t, path, "first", func(l *life) { l.fd = memory(t, "journal") })
	unusable := errors.New("unusable")
	if _, err := DialSession(t.Context(), path, &owner{opened: unusable}); !errors.Is(err, unusable) {
		t.Errorf("dial: %v", err)
	}
	if entries, err := os.ReadDir("/proc/self/fd"); err != nil || len(entries) > 100 {
		t.Errorf("%d descriptors, %v", len(entries), err)
	}
}
