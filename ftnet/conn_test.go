//go:build linux

package ftnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
)

// TestNettest runs the conformance suite of net.Conn on live, recovered and
// unprotected connections.
func TestNettest(t *testing.T) {
	t.Run("live", func(t *testing.T) {
		l := newLab(t)
		s := l.listen(ListenConfig{})
		nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
			cl := l.dial(s.Addr())
			c := s.accept()
			return c, cl.TCPConn, func() { c.Close(); cl.Close() }, nil
		})
	})
	t.Run("recovered", func(t *testing.T) {
		l := newLab(t)
		s := l.listen(ListenConfig{})
		nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
			cl := l.dial(s.Addr())
			c := s.accept()
			cl.send("hello")
			step(t, c, "hello", "HELLO")
			cl.expect("HELLO")
			crash(c)
			cl = cl.recover(5, 5, 5)
			c = s.accept()
			step(t, c, "hello", "HELLO")
			return c, cl.TCPConn, func() { c.Close(); cl.Close() }, nil
		})
	})
	t.Run("unknown to the engine", func(t *testing.T) {
		l := newLab(t)
		s := l.listen(ListenConfig{})
		nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
			cl, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				return nil, nil, nil, err
			}
			c := s.accept()
			if c.Protected() {
				t.Error("the connection calls itself protected")
			}
			return c, cl, func() { c.Close(); cl.Close() }, nil
		})
	})
}

func TestHTTP(t *testing.T) {
	l := newLab(t)
	s := l.listen(ListenConfig{Compare: CompareLength})
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789"), 500_000)
	if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(dir))))
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	srv := &http.Server{Handler: mux}
	go srv.Serve(s.Listener)
	defer srv.Close()
	var slots []uint32
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		cl := l.dial(s.Addr())
		slots = append(slots, cl.slot)
		return cl.TCPConn, nil
	}}
	defer tr.CloseIdleConnections()
	hc := &http.Client{Transport: tr}
	for i := range 3 {
		body := strings.Repeat("x", 1+i*100_000)
		r, err := hc.Post("http://lab/echo", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r.Body); err != nil || string(got) != body {
			t.Fatalf("echo: %d bytes, %v", len(got), err)
		}
		r.Body.Close()
		r, err = hc.Get("http://lab/files/big") // by sendfile
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, big) {
			t.Fatalf("file: %d bytes, %v", len(got), err)
		}
		r.Body.Close()
	}
	if len(slots) != 1 {
		t.Fatalf("%d connections, want 1", len(slots))
	}
	if h, _ := l.j.Head(slots[0]); h.Overflow || h.Recorded < 3*int64(len(big)) {
		t.Errorf("record: %+v", h)
	}
}

func TestReadFromIsRecorded(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := strings.Repeat("abc", 1_000_000)
	f.WriteString(content)
	for _, compare := range []Compare{CompareStrict, CompareLength} {
		for name, limit := range map[string]int64{"whole": -1, "limited": 2_000_000} {
			t.Run(compare.String()+" "+name, func(t *testing.T) {
				l, _, c, cl := pair(t, ListenConfig{Compare: compare})
				f.Seek(0, io.SeekStart)
				want, r := content, io.Reader(f)
				if limit >= 0 {
					want, r = content[:limit], io.LimitReader(f, limit)
				}
				sent := make(chan error, 1)
				go func() {
					n, err := io.Copy(c, r)
					if err == nil && n != int64(len(want)) {
						err = fmt.Errorf("copied %d of %d", n, len(want))
					}
					sent <- err
				}()
				cl.expect(want)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				if h, _ := l.j.Head(cl.slot); h.Recorded != int64(len(want)) {
					t.Fatalf("recorded %d, sent %d", h.Recorded, len(want))
				}
			})
		}
	}
}

func TestWriteTo(t *testing.T) {
	l, _, c, cl := pair(t, ListenConfig{})
	go func() {
		cl.Write(make([]byte, 300_000))
		cl.CloseWrite()
	}()
	n, err := io.Copy(io.Discard, c)
	if n != 300_000 || err != nil {
		t.Fatal(n, err)
	}
	sum := 0
	for length, count := range l.j.ReadLengths(cl.slot) {
		sum += length * count
	}
	if sum != 300_000 {
		t.Fatalf("%d bytes recorded as read", sum)
	}
}

// A write that a deadline cuts short is recorded as far as the kernel took it.
func TestShortWriteIsRolledBack(t *testing.T) {
	for _, compare := range []Compare{CompareStrict, CompareLength} {
		l, _, c, cl := pair(t, ListenConfig{Compare: compare})
		c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := c.Write(make([]byte, 64<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if h, _ := l.j.Head(cl.slot); h.Recorded != int64(n) {
			t.Fatalf("recorded %d, the kernel took %d", h.Recorded, n)
		}
		if in := l.j.Inputs(cl.slot); len(in) != 1 || in[0].Kind != journal.WriteTimeout || in[0].Out != int64(n) {
			t.Fatalf("recorded inputs %v, the kernel took %d", in, n)
		}
	}
}

// Nor is sendfile's.
func TestShortSendFileIsRecorded(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	l, _, c, cl := pair(t, ListenConfig{Compare: CompareLength})
	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	n, err := c.ReadFrom(f)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if in := l.j.Inputs(cl.slot); len(in) != 1 || in[0].Kind != journal.WriteTimeout || in[0].Count != 1 || in[0].Out != n {
		t.Fatalf("recorded inputs %v, the kernel took %d", in, n)
	}
}

func TestCloseIsAnnounced(t *testing.T) {
	l, _, c, cl := pair(t, ListenConfig{})
	priority := func() (p int) {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) { p, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY) })
		return p
	}
	if p := priority(); p != 0 {
		t.Errorf("priority %d at first", p)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if p := priority(); p != priorityShut {
		t.Errorf("priority %d after CloseWrite", p)
	}
	if rest, err := io.ReadAll(cl); len(rest) != 0 || err != nil {
		t.Errorf("client: %q, %v", rest, err)
	}
	cl.send("still here")
	buf := make([]byte, 20)
	if n, err := c.Read(buf); string(buf[:n]) != "still here" || err != nil {
		t.Errorf("after CloseWrite: %q, %v", buf[:n], err)
	}
	if h, _ := l.j.Head(cl.slot); h.State != journal.Accepted {
		t.Errorf("after CloseWrite: %v", h.State)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if h, _ := l.j.Head(cl.slot); h.State != journal.Closing || !h.Released {
		t.Errorf("after Close: %+v", h)
	}
}

func TestLingerZeroResets(t *testing.T) {
	_, _, c, cl := pair(t, ListenConfig{})
	c.SetLinger(0)
	c.Close()
	if _, err := cl.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("client: %v", err)
	}
}

func TestOptions(t *testing.T) {
	_, _, c, _ := pair(t, ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second}})
	for name, err := range map[string]error{
		"SetNoDelay":         c.SetNoDelay(false),
		"SetKeepAlive":       c.SetKeepAlive(true),
		"SetKeepAlivePeriod": c.SetKeepAlivePeriod(time.Minute),
		"SetKeepAliveConfig": c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}),
		"SetReadBuffer":      c.SetReadBuffer(1 << 16),
		"SetWriteBuffer":     c.SetWriteBuffer(1 << 16),
		"SetLinger":          c.SetLinger(5),
		"CloseRead":          c.CloseRead(),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read after CloseRead: %v", err)
	}
}

// Raw I/O goes around the record: the connection works and is unprotected.
func TestRawIOUnprotects(t *testing.T) {
	l, _, c, cl := pair(t, ListenConfig{})
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(uintptr) {}); err != nil || !c.Protected() {
		t.Fatalf("Control: %v, protected %v", err, c.Protected())
	}
	err = raw.Write(func(fd uintptr) bool {
		unix.Write(int(fd), []byte("raw"))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	cl.expect("raw")
	if h, _ := l.j.Head(cl.slot); !h.Overflow || c.Protected() {
		t.Error("the connection still counts as protected")
	}
	c.Write([]byte("and on"))
	cl.expect("and on")
}

// Readers and writers on one connection while it is closed.
func TestCloseWhileInUse(t *testing.T) {
	for range 20 {
		_, _, c, cl := pair(t, ListenConfig{})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { io.Copy(io.Discard, c) })
			wg.Go(func() {
				for {
					if _, err := c.Write(make([]byte, 10_000)); err != nil {
						return
					}
				}
			})
		}
		wg.Go(func() { io.CopyN(io.Discard, cl, 500_000) })
		cl.Write(make([]byte, 50_000))
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		cl.Close()
		wg.Wait()
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	}
}

// The server goes on when the engine is gone.
func TestEngineGone(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	warned := make(chan struct{}, 10)
	logger := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if bytes.Contains(p, []byte("engine ended")) {
			warned <- struct{}{}
		}
		return out.Write(p)
	}), nil))
	l, s, c, cl := pair(t, ListenConfig{Logger: logger})
	l.stop()
	<-warned
	cl.Write([]byte("hello"))
	step(t, c, "hello", "HELLO")
	cl.expect("HELLO")
	plain, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	c2 := s.accept()
	plain.Write([]byte("hello"))
	step(t, c2, "hello", "HELLO")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := len(warned); n != 0 {
		t.Errorf("warned %d times more", n)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestReadAllocatesNothing(t *testing.T) {
	_, _, c, cl := pair(t, ListenConfig{})
	p, q := make([]byte, 64), make([]byte, 64)
	n := testing.AllocsPerRun(200, func() {
		cl.Write(q)
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatal(err)
		}
		c.Write(p)
		io.ReadFull(cl, q)
	})
	if n != 0 {
		t.Errorf("%v allocations in a round trip", n)
	}
}
