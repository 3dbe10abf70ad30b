package sockdiag

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
)

// TestWatcher fills the queue of a listener that nobody accepts from.
func TestWatcher(t *testing.T) {
	testenv.RequireRoot(t)
	lab := netlabtest.New(t, &netlab.Config{})
	for _, address := range []string{"127.0.0.1:7001", "[::1]:7002"} {
		t.Run(address, func(t *testing.T) {
			const backlog = 4
			network, at := "tcp4", netip.MustParseAddrPort(address)
			if at.Addr().Is6() {
				network = "tcp6"
			}
			ln, err := lab.Server.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			shorten(t, ln, backlog)
			room := func(want int) {
				t.Helper()
				in(t, lab.Server, func() error {
					w, err := Watch()
					if err != nil {
						return err
					}
					defer w.Close()
					n, err := w.Room(at.Port())
					for end := time.Now().Add(10 * time.Second); err == nil && n != want && time.Now().Before(end); n, err = w.Room(at.Port()) {
						time.Sleep(time.Millisecond)
					}
					if n != want {
						t.Errorf("room for %d, want %d", n, want)
					}
					return err
				})
			}
			var conns []net.Conn
			for i := range backlog + 1 {
				room(backlog + 1 - i)
				c, err := lab.Server.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				conns = append(conns, c)
			}
			room(0)
			in(t, lab.Server, func() error {
				w, err := Watch()
				if err != nil {
					return err
				}
				defer w.Close()
				flow := segment.Flow{Client: conns[0].LocalAddr().(*net.TCPAddr).AddrPort(), Server: at}
				if state, err := w.State(flow); state != Established || err != nil {
					t.Errorf("of a connection that waits for Accept: %v, %v", state, err)
				}
				if b, err := w.Progress(flow); b != (Bytes{}) || err != nil {
					t.Errorf("progress %+v, %v", b, err)
				}
				if _, err := conns[0].Write([]byte("hello")); err != nil {
					return err
				}
				if b, err := w.Progress(flow); b != (Bytes{Received: 5}) || err != nil { // loopback delivers at once
					t.Errorf("progress %+v, %v", b, err)
				}
				flow.Client = netip.AddrPortFrom(at.Addr(), 1) // only the listener could be meant
				if state, err := w.State(flow); !errors.Is(err, ErrNotFound) {
					t.Errorf("of none: %v, %v", state, err)
				}
				if b, err := w.Progress(flow); !errors.Is(err, ErrNotFound) {
					t.Errorf("progress of none: %+v, %v", b, err)
				}
				if n, err := w.Room(7999); !errors.Is(err, ErrNotFound) {
					t.Errorf("room of no listener: %d, %v", n, err)
				}
				return nil
			})
		})
	}
}

// shorten calls listen(2) once more, with another backlog.
func shorten(t *testing.T, ln net.Listener, backlog int) {
	t.Helper()
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
}

// BenchmarkSockets lists the connections of a port, of which there are a thousand.
func BenchmarkSockets(b *testing.B) {
	testenv.RequireRoot(b)
	lab := netlabtest.New(b, &netlab.Config{})
	const n = 1000
	ln, err := lab.Server.Listen("tcp4", "127.0.0.1:7001")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	for range n {
		pair(b, lab, ln, lab.Server, ln.Addr().String())
	}
	in(b, lab.Server, func() error {
		w, err := Watch()
		if err != nil {
			return err
		}
		defer w.Close()
		b.ReportAllocs()
		for b.Loop() {
			met := 0
			if err := w.Sockets([]uint16{7001}, func(*Socket) { met++ }); err != nil || met != n {
				return fmt.Errorf("%d connections, %v", met, err)
			}
		}
		return nil
	})
}
