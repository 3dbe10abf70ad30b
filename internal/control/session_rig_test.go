//go:build linux

package control

import (
	"context"
	"fmt"
	"net"
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
	return ListeningReply{Recovering: int(m.ID)}, l.note("listening %d", m.ID)
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

// plain is a handler that is no Successor.
type plain struct{ Handler }
