//go:build linux

package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is a handler that notes what it hears.
type engine struct {
	fd   int
	log  []byte
	gone chan error

	mu    sync.Mutex
	heard []string
	later atomic.Int32 // reads of laterSlot
}

// Slots whose log cannot be reached at first, or at all.
const laterSlot, neverSlot = 3, 4

func (e *engine) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, fmt.Sprintf(format, args...))
}

func (e *engine) Hello(p *Peer) (Welcome, error) {
	if p.Cred.PID != os.Getpid() || p.Hello.PID != os.Getpid() {
		return Welcome{}, errors.New("credentials are wrong")
	}
	e.note("hello")
	return Welcome{Service: "test", MaxConns: 5, FD: e.fd}, nil
}
func (e *engine) Protect(_ *Peer, m Protect) error {
	e.note("protect %d %s", m.ID, m.Address)
	if m.Port == 13 {
		return &Error{Code: CodeRefused, Message: "port 13 is unlucky"}
	}
	return nil
}
func (e *engine) Listening(_ *Peer, m Listening) (ListeningReply, error) {
	e.note("listening %d", m.ID)
	return ListeningReply{Recovering: 3}, nil
}
func (e *engine) Closed(_ *Peer, m Closed) error     { e.note("closed %d", m.ID); return nil }
func (e *engine) Mismatch(_ *Peer, m Mismatch) error { e.note("mismatch %d", m.Offset); return nil }
func (e *engine) Gone(_ *Peer, err error)            { e.gone <- err }
func (e *engine) ReadLog(r ReadLog, buf []byte) (int, error) {
	if r.Slot == neverSlot || r.Slot == laterSlot && e.later.Add(1) < 3 {
		return 0, &Error{Code: CodeLater, Message: "the log server cannot be reached"}
	}
	if r.Slot != 1 && r.Slot != laterSlot {
		return 0, &Error{Code: CodeStale, Message: "no such connection"}
	}
	if r.State {
		return copy(buf, fmt.Sprintf("state at %d", r.Off)), nil
	}
	if r.Off > int64(len(e.log)) {
		return 0, nil
	}
	return copy(buf, e.log[r.Off:]), nil
}

// start runs a server until the test ends.
func start(t *testing.T, s *Server) (e *engine, path string) {
	t.Helper()
	fd, err := unix.MemfdCreate("control-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	e = &engine{fd: fd, gone: make(chan error, 10), log: bytes.Repeat([]byte("0123456789"), 300_000)}
	unix.Write(fd, []byte("journal"))
	s.Handler = e
	path = filepath.Join(t.TempDir(), "engine.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		unix.Close(fd)
	})
	return e, path
}

func TestConversation(t *testing.T) {
	e, path := start(t, &Server{})
	ctx := t.Context()
	c, w, err := Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if w.Service != "test" || w.MaxConns != 5 {
		t.Errorf("welcome %+v", w)
	}
	content := make([]byte, 7)
	if _, err := unix.Pread(w.FD, content, 0); err != nil || string(content) != "journal" {
		t.Errorf("descriptor: %q, %v", content, err)
	}
	CloseFD(w.FD)
	one, two := Listener{Protect: Protect{ID: 1, Address: "0.0.0.0:80", Port: 80}}, Listener{Protect: Protect{ID: 2, Address: "x", Port: 13}}
	announce := func(want []Answer, list ...Listener) {
		t.Helper()
		r, err := c.Announce(ctx, Announcement{list})
		if diff := cmp.Diff(want, r.Listeners, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("announced: %v\n%s", err, diff)
		}
	}
	unlucky := Answer{ID: 2, Refused: &Error{CodeRefused, "port 13 is unlucky"}}
	announce([]Answer{{ID: 1}}, one)
	announce([]Answer{{ID: 1}, unlucky}, one, two)
	announce([]Answer{{ID: 1}, unlucky}, one, two) // it is not asked again
	one.Listens = &Listening{ID: 1}
	announce([]Answer{{ID: 1, Recovering: 3}, unlucky}, one, two)
	three := Listener{Protect: Protect{ID: 3, Port: 81}, Listens: &Listening{ID: 3}}
	announce([]Answer{{ID: 3, Recovering: 3}}, three)
	announce(nil)
	announce(nil)
	if err := c.Mismatch(ctx, Mismatch{Offset: 99}); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := <-e.gone; err != nil {
		t.Errorf("gone: %v", err)
	}
	want := "[hello protect 1 0.0.0.0:80 protect 2 x listening 1 closed 1 protect 3  listening 3 closed 3 mismatch 99]"
	if got := fmt.Sprint(e.heard); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

func TestReadLog(t *testing.T) {
	e, path := start(t, &Server{})
	c, w, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(w.FD)
	defer c.Close()
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			var got []byte
			buf := make([]byte, 2<<20) // more than one request may ask for
			for {
				n, err := c.ReadLog(t.Context(), 1, 0, int64(len(got)), buf)
				if err != nil {
					t.Error(err)
					return
				}
				if n == 0 {
					break
				}
				got = append(got, buf[:n]...)
			}
			if !bytes.Equal(got, e.log) {
				t.Errorf("read %d bytes, not the log", len(got))
			}
		})
	}
	wg.Wait()
	var ce *Error
	if _, err := c.ReadLog(t.Context(), 2, 0, 0, make([]byte, 1)); !errors.As(err, &ce) || ce.Code != CodeStale {
		t.Errorf("unknown slot: %v", err)
	}
	p := make([]byte, MaxState)
	if n, err := c.ask(t.Context(), ReadLog{Slot: 1, Off: 7, N: len(p), State: true}, p); string(p[:n]) != "state at 7" || err != nil {
		t.Errorf("state %q, %v", p[:n], err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.ReadLog(ctx, 1, 0, 0, make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestEngineGone(t *testing.T) {
	s := &Server{}
	_, path := start(t, s)
	c, w, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(w.FD)
	s.closeAll()
	<-c.Lost()
	if _, err := c.Announce(t.Context(), Announcement{}); !errors.Is(err, ErrLost) {
		t.Errorf("announce: %v, want ErrLost", err)
	}
	if _, err := c.ReadLog(t.Context(), 1, 0, 0, make([]byte, 1)); err == nil {
		t.Error("reading the log of an engine that is gone")
	}
	c.Close()
}

func TestOtherUserIsRefused(t *testing.T) {
	_, path := start(t, &Server{Allow: func(Credentials) bool { return false }})
	_, _, err := Dial(t.Context(), path)
	var ce *Error
	if !errors.As(err, &ce) || ce.Code != CodeRefused {
		t.Fatalf("dial: %v", err)
	}
	if allow := AllowUID(7); !allow(Credentials{UID: 7}) || !allow(Credentials{}) || allow(Credentials{UID: 8}) {
		t.Error("AllowUID")
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	_, path := start(t, &Server{MaxConns: 1})
	c, w, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(w.FD)
	defer c.Close()
	if _, _, err := Dial(t.Context(), path); err == nil {
		t.Fatal("a second connection where one is allowed")
	}
}

// Whatever a peer sends, the server ends its connection and serves the next.
func TestHostilePeers(t *testing.T) {
	e, path := start(t, &Server{})
	hello := appendFrame(nil, typeHello, []byte(`{"version":3,"pid":1,"data":true}`))
	for name, input := range map[string][]byte{
		"nothing":         nil,
		"half a header":   {0, 0},
		"huge":            {0xff, 0xff, 0xff, 0xff, byte(typeHello)},
		"data as hello":   appendFrame(nil, typeData, make([]byte, 1000)),
		"no JSON":         appendFrame(nil, typeHello, []byte("hello")),
		"other version":   appendFrame(nil, typeHello, []byte(`{"version":9}`)),
		"short readlog":   append(bytes.Clone(hello), appendFrame(nil, typeReadLog, make([]byte, 3))...),
		"empty readlog":   append(bytes.Clone(hello), appendFrame(nil, typeReadLog, make([]byte, readLogSize))...),
		"control on data": append(bytes.Clone(hello), appendFrame(nil, typeAnnounce, []byte(`{}`))...),
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(input)
		c.(*net.UnixConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Errorf("%s: the server keeps the connection", name)
		}
		c.Close()
	}
	c, w, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(w.FD)
	// A frame that no one knows ends the process's connection, with a reason.
	if err := c.ctl.write(frameType(77), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-e.gone; !errors.Is(err, errFrame) {
		t.Errorf("gone: %v", err)
	}
	c.Close()
}

// TestUnknownCompare: a process that announces a comparison which the engine does not have is
// refused: its connections would be compared otherwise than it wants.
func TestUnknownCompare(t *testing.T) {
	e, path := start(t, &Server{})
	c, w, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(w.FD)
	if err := c.ctl.write(typeAnnounce, []byte(`{"listeners":[{"id":1,"port":80,"compare":"loose"}]}`)); err != nil {
		t.Fatal(err)
	}
	if err := <-e.gone; !errors.Is(err, errFrame) {
		t.Errorf("gone: %v", err)
	}
	c.Close()
}

func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(nil, typeHello, []byte(`{"version":3}`)))
	f.Add(appendFrame(nil, typeReadLog, ReadLog{1, 2, 3, 4, false}.append(nil)))
	f.Add(appendFrame(nil, typeReadLog, ReadLog{1, 2, 3, 4, true}.append(nil)))
	f.Add([]byte{0, 0x10, 0, 0, 131, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			var h [headerSize]byte
			if _, err := io.ReadFull(r, h[:]); err != nil {
				return
			}
			ft, size, err := parseHeader(h)
			if err != nil {
				return
			}
			body, err := readBody(r, nil, size)
			if cap(body) > 2*len(b)+2*(64<<10) {
				t.Fatalf("%d bytes of memory for %d received", cap(body), len(b))
			}
			if err != nil {
				return
			}
			if ft == typeReadLog {
				if m, err := parseReadLog(body); err == nil && !bytes.Equal(m.append(nil), body) {
					t.Fatal("a request does not survive encoding")
				}
			}
			if again := appendFrame(nil, ft, body); !bytes.Contains(b, again) {
				t.Fatal("a frame does not survive encoding")
			}
		}
	})
}

// TestReadLogLater: the client asks again while the engine's log cannot be
// reached.
func TestReadLogLater(t *testing.T) {
	_, path := start(t, &Server{})
	c, w, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	CloseFD(w.FD)
	defer c.Close()
	p := make([]byte, 4)
	if n, err := c.ReadLog(t.Context(), laterSlot, 0, 0, p); err != nil || n != len(p) {
		t.Errorf("ReadLog: %d, %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.ReadLog(ctx, neverSlot, 0, 0, p); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a log that is never reached: %v", err)
	}
}
