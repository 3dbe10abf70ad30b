//go:build linux

package ftnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

func TestNoEngine(t *testing.T) {
	for _, path := range []string{"", "/nonexistent/engine"} {
		t.Setenv(control.EnvPath, path)
		_, err := Listen("tcp", "127.0.0.1:0")
		var oe *net.OpError
		if !errors.Is(err, ErrNoEngine) || !errors.As(err, &oe) || oe.Op != "listen" {
			t.Errorf("path %q: %v", path, err)
		}
	}
}

func TestOptional(t *testing.T) {
	t.Setenv(control.EnvPath, "")
	plainOnce = sync.Once{}
	var out bytes.Buffer
	lc := ListenConfig{Optional: true, Logger: slog.New(slog.NewTextHandler(&out, nil))}
	for range 2 {
		ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if ln.(*Listener).Protected() {
			t.Error("a plain listener calls itself protected")
		}
		cl, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		cl.Write([]byte("hi"))
		step(t, c.(*Conn), "hi", "HI")
		c.Close()
	}
	if n := strings.Count(out.String(), "without protection"); n != 1 {
		t.Errorf("said so %d times: %s", n, out.String())
	}
}

func TestListenErrors(t *testing.T) {
	l := newLab(t)
	_, err := Listen("udp", "127.0.0.1:0")
	if !errors.As(err, new(net.UnknownNetworkError)) {
		t.Errorf("udp: %v", err)
	}
	odd := ListenConfig{Compare: CompareLength + 1}
	if _, err := odd.Listen(t.Context(), "tcp", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "no such comparison: 2") {
		t.Errorf("unknown comparison: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := Listen("tcp", taken.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("taken port: %v", err)
	}
	if got := fmt.Sprint(l.heard); got != "[protect tcp4 strict closed]" {
		t.Errorf("the engine heard %s", got)
	}
	l.refuse = &control.Error{Code: control.CodeRefused, Message: "not this port"}
	var oe *net.OpError
	for _, address := range []string{"127.0.0.1:0", "127.0.0.1:45999"} {
		_, err = Listen("tcp", address)
		if !errors.As(err, &oe) || !strings.Contains(err.Error(), "not this port") {
			t.Errorf("refused: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var lc ListenConfig
	if _, err := lc.Listen(ctx, "tcp", "127.0.0.1:0"); err == nil {
		t.Error("listening with a context that has ended")
	}
}

// The engine hears of a known port before it is bound, of any other right
// after; the application's own hook runs first.
func TestProtectOrder(t *testing.T) {
	l := newLab(t)
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	known := free.Addr().String()
	free.Close()
	lc := ListenConfig{Compare: CompareLength, Control: func(string, string, syscall.RawConn) error {
		l.note("control")
		return nil
	}}
	for address, want := range map[string]string{
		known:         "[control protect tcp4 length listening closed]",
		"127.0.0.1:0": "[control protect tcp length listening closed]",
	} {
		l.heard = nil
		ln, err := lc.Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		ln.Close()
		if got := fmt.Sprint(l.heard); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	lc.Control = func(string, string, syscall.RawConn) error { return errors.New("no") }
	l.heard = nil
	if _, err := lc.Listen(t.Context(), "tcp", known); err == nil || len(l.heard) != 0 {
		t.Errorf("refused by the application: %v, %v", err, l.heard)
	}
}

// An empty host listens on both families, and an IPv4 client of such a socket
// is found under its IPv4 address.
func TestDualStack(t *testing.T) {
	l := newLab(t)
	ln, err := Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := &server{ln.(*Listener), t}
	cl := l.dial(s.Addr())
	defer cl.Close()
	if c := s.accept(); !c.Protected() {
		t.Error("an IPv4 connection on a dual-stack listener is unprotected")
	}
	six, err := net.Dial("tcp", fmt.Sprintf("[::1]:%d", s.Addr().(*net.TCPAddr).Port))
	if err != nil {
		testenv.Missing(t, "no IPv6 loopback: "+err.Error())
	}
	defer six.Close()
	s.accept()
}

func TestAcceptEnds(t *testing.T) {
	l := newLab(t)
	s := l.listen(ListenConfig{})
	s.SetDeadline(time.Now().Add(-time.Second))
	var ne net.Error
	if _, err := s.Accept(); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("deadline: %v", err)
	}
	s.Close()
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
