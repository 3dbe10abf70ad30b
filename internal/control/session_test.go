//go:build linux

package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// life is one engine of several, one after another at one path.
type life struct {
	t      *testing.T
	name   string
	fd     int // of its journal; -1: it takes what comes
	stays  bool
	server *Server
	stop   func()

	mu      sync.Mutex
	heard   []string
	ports   map[uint64]string // listener and its state
	got     string            // what came with Hello
	refuse  func(what string) error
	onReads func()
}

// begin starts an engine.
func begin(t *testing.T, path, name string, edit func(*life)) *life {
	t.Helper()
	l := &life{t: t, name: name, fd: -1, ports: map[uint64]string{}, server: &Server{}}
	l.server.Handler = l
	if edit != nil {
		edit(l)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.server.Serve(ctx, ln) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(l.stop)
	return l
}

// die ends it as SIGKILL would.
func (l *life) die() {
	l.server.Leave()
	l.stop()
}

func (l *life) note(format string, args ...any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	l.heard = append(l.heard, text)
	if l.refuse != nil {
		return l.refuse(text)
	}
	return nil
}

func (l *life) set(id uint64, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ports[id] = to
}

func (l *life) Hello(p *Peer) (Welcome, error) {
	w := Welcome{Service: "test", Returns: !l.stays, FD: l.fd}
	if p.Hello.Resume {
		got := make([]byte, 16)
		n, err := unix.Pread(p.Memory, got, 0)
		if err != nil {
			l.t.Errorf("what came with hello: %v", err)
		}
		l.got = string(got[:n])
		return w, l.note("resume %s", p.Hello.Service)
	}
	return w, l.note("hello")
}

func (l *life) Protect(_ *Peer, m Protect) error {
	what := "protect"
	if m.Left {
		what = "left"
	}
	l.set(m.ID, what)
	return l.note("%s %d", what, m.ID)
}

func (l *life) Listening(_ *Peer, m Listening) (ListeningReply, error) {
	l.set(m.ID, "listening")
	return ListeningReply{}, l.note("listening %d", m.ID)
}

func (l *life) Closed(_ *Peer, m Closed) error {
	l.set(m.ID, "left")
	return l.note("closed %d", m.ID)
}
func (l *life) Mismatch(*Peer, Mismatch) error { return l.note("mismatch") }
func (l *life) Resumed(*Peer) error            { return l.note("resumed") }
func (l *life) Gone(*Peer, error)              {}

func (l *life) ReadLog(_ ReadLog, buf []byte) (int, error) {
	if l.onReads != nil {
		l.onReads()
	}
	return copy(buf, l.name), nil
}

func (l *life) words() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.heard, ", ")
}

// owner notes what a session says.
type owner struct {
	mu     sync.Mutex
	heard  []string
	opened error
}

func (o *owner) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard = append(o.heard, fmt.Sprintf(format, args...))
}

func (o *owner) Open(w Welcome, memory uint64) error {
	content := make([]byte, 16)
	n, _ := unix.Pread(w.FD, content, 0)
	o.note("open %d %s", memory, content[:n])
	return o.opened
}
func (o *owner) Lost(again bool, why error)   { o.note("lost %v %v", again, why) }
func (o *owner) Refused(id uint64, why error) { o.note("refused %d", id) }
func (o *owner) Resumed()                     { o.note("resumed") }

func (o *owner) await(t *testing.T, want string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		got := strings.Join(o.heard, ", ")
		o.mu.Unlock()
		if got == want {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("heard %s, want %s", got, want)
		}
	}
}

func memory(t *testing.T, content string) int {
	t.Helper()
	fd, err := unix.MemfdCreate("control-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	unix.Write(fd, []byte(content))
	return fd
}

func session(t *testing.T, edit func(*life)) (l *life, s *Session, o *owner) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l = begin(t, path, "first", func(l *life) {
		l.fd = memory(t, "journal")
		if edit != nil {
			edit(l)
		}
	})
	o = &owner{}
	s, err := DialSession(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return l, s, o
}

func listen(t *testing.T, s *Session, id uint64, port uint16) {
	t.Helper()
	if err := s.Protect(t.Context(), Protect{ID: id, Port: port}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listening(t.Context(), Listening{ID: id}); err != nil {
		t.Fatal(err)
	}
}

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
		if _, err := s.Listening(t.Context(), Listening{ID: 4}); err != nil {
			t.Error(err)
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

// plain is a handler that is no Successor.
type plain struct{ Handler }

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
