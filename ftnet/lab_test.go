//go:build linux

package ftnet

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
	"golang.org/x/sys/unix"
)

// lab is an engine without a gate: it owns a journal and answers the control
// protocol. Clients dial through it, so that it can publish their connections
// before they reach the server; after a crash they dial again from the same
// port, which is what the spoofed handshake amounts to.
type lab struct {
	t       testing.TB
	path    string
	server  *control.Server
	stop    func()
	returns bool // when it was killed

	mu         sync.Mutex
	j          *journal.Journal
	logs       map[uint32][]byte // what clients have sent, by slot
	mismatches []control.Mismatch
	heard      []string
	refuse     error
	recovering int
	delay      chan struct{} // ReadLog waits for it if not nil
	nextSlot   uint32
}

func newLab(t testing.TB) *lab {
	t.Helper()
	j, err := journal.Create(1024, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, j: j, path: filepath.Join(t.TempDir(), "engine"), logs: map[uint32][]byte{}}
	l.start()
	t.Setenv(control.EnvPath, l.path)
	return l
}

func (l *lab) start() {
	l.t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.path, Net: "unix"})
	if err != nil {
		l.t.Fatal(err)
	}
	l.server = &control.Server{Handler: l}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.server.Serve(ctx, ln) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("control: %v", err)
		}
	})
	l.t.Cleanup(l.stop)
}

// die ends the engine as SIGKILL would: nobody is told, and what it knew of the
// journal is lost.
func (l *lab) die() {
	l.t.Helper()
	l.server.Leave()
	l.stop()
	if err := l.journal().Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *lab) journal() *journal.Journal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.j
}

// await waits until the engine has heard a word so many times.
func (l *lab) await(word string, times int) {
	l.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		n := 0
		for _, w := range l.heard {
			if w == word {
				n++
			}
		}
		l.mu.Unlock()
		if n >= times {
			return
		}
		if time.Since(began) > 10*time.Second {
			l.t.Fatalf("the engine heard %v, want %q %d times", l.heard, word, times)
		}
	}
}

func (l *lab) note(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, s)
}

func (l *lab) Hello(p *control.Peer) (control.Welcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := control.Welcome{Service: "lab", MaxConns: 1024, FD: l.j.Fd(), Returns: l.returns}
	if p.Hello.Resume {
		j, err := journal.Adopt(p.Memory, 1024, 1<<16)
		if err != nil {
			return w, err
		}
		l.j, w.FD = j, -1
	}
	return w, nil
}

func (l *lab) Resumed(*control.Peer) error { l.note("resumed"); return nil }

func (l *lab) Protect(_ *control.Peer, m control.Protect) error {
	l.note("protect " + m.Network + " " + m.Compare.String())
	return l.refuse
}

func (l *lab) Listening(*control.Peer, control.Listening) (control.ListeningReply, error) {
	l.note("listening")
	return control.ListeningReply{Recovering: l.recovering}, nil
}

func (l *lab) Closed(*control.Peer, control.Closed) error { l.note("closed"); return nil }
func (l *lab) Gone(*control.Peer, error)                  {}

func (l *lab) Mismatch(_ *control.Peer, m control.Mismatch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mismatches = append(l.mismatches, m)
	return nil
}

func (l *lab) ReadLog(r control.ReadLog, buf []byte) (int, error) {
	l.mu.Lock()
	log, delay := l.logs[r.Slot], l.delay
	l.mu.Unlock()
	if delay != nil {
		<-delay
	}
	if r.State {
		return copy(buf, fmt.Sprintf("state at %d", r.Off)), nil
	}
	return copy(buf, log[min(r.Off, int64(len(log))):]), nil
}

// client is a client's connection, over which it sends and logs.
type client struct {
	*net.TCPConn
	lab    *lab
	slot   uint32
	local  netip.AddrPort
	server netip.AddrPort
}

// dial connects to addr as a new connection.
func (l *lab) dial(addr net.Addr) *client {
	l.t.Helper()
	l.mu.Lock()
	slot := l.nextSlot
	l.nextSlot++
	l.mu.Unlock()
	server := addr.(*net.TCPAddr).AddrPort()
	server = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), server.Port())
	c := &client{lab: l, slot: slot, server: server}
	c.connect(netip.MustParseAddrPort("127.0.0.1:0"), func() {
		if err := l.journal().Publish(slot, 1, journal.Flow{Client: c.local, Server: server}); err != nil {
			l.t.Error(err)
		}
	})
	return c
}

// connect binds to local, calls bound, and connects.
func (c *client) connect(local netip.AddrPort, bound func()) {
	c.lab.t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			if err = unix.Bind(int(fd), &unix.SockaddrInet4{Port: int(local.Port()), Addr: local.Addr().As4()}); err != nil {
				return
			}
			var sa unix.Sockaddr
			if sa, err = unix.Getsockname(int(fd)); err != nil {
				return
			}
			c.local = netip.AddrPortFrom(local.Addr(), uint16(sa.(*unix.SockaddrInet4).Port))
			bound()
		})
		if err == nil {
			err = cerr
		}
		return err
	}}
	conn, err := d.Dial("tcp4", c.server.String())
	if err != nil {
		c.lab.t.Fatal(err)
	}
	c.TCPConn = conn.(*net.TCPConn)
}

// send writes p and logs it, as the tap would.
func (c *client) send(p string) {
	c.lab.t.Helper()
	c.lab.mu.Lock()
	c.lab.logs[c.slot] = append(c.lab.logs[c.slot], p...)
	c.lab.mu.Unlock()
	if _, err := c.Write([]byte(p)); err != nil {
		c.lab.t.Fatal(err)
	}
}

// expect reads len(want) bytes.
func (c *client) expect(want string) {
	c.lab.t.Helper()
	got := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		c.lab.t.Fatalf("client got %d bytes %.40q, %v, want %d %.40q", n, got[:n], err, len(want), want)
	}
	c.SetReadDeadline(time.Time{})
}

// recover connects again from the same port after the server's end is gone.
// The client has acknowledged una, left bytes had left the server, and what
// the client has sent is logged up to stable; the rest it sends again.
func (c *client) recover(una, left, stable int64) *client {
	c.lab.t.Helper()
	return c.recoverFrom(journal.Base{}, una, left, stable)
}

// recoverFrom is recover for a connection whose log begins at b.
func (c *client) recoverFrom(b journal.Base, una, left, stable int64) *client {
	c.lab.t.Helper()
	c.SetLinger(0) // takes the server's half-closed socket along
	c.Close()
	if err := c.lab.journal().PrepareRecovery(c.slot, b, una, left, stable); err != nil {
		c.lab.t.Fatal(err)
	}
	again := &client{lab: c.lab, slot: c.slot, server: c.server}
	again.connect(c.local, func() {})
	c.lab.mu.Lock()
	rest := c.lab.logs[c.slot][stable:]
	c.lab.mu.Unlock()
	if _, err := again.Write(rest); err != nil {
		c.lab.t.Fatal(err)
	}
	return again
}

// server is a protected listener whose connections the test handles itself.
type server struct {
	*Listener
	t testing.TB
}

func (l *lab) listen(lc ListenConfig) *server {
	l.t.Helper()
	if lc.Logger == nil {
		lc.Logger = slog.New(slog.DiscardHandler)
	}
	ln, err := lc.Listen(l.t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { ln.Close() })
	return &server{ln.(*Listener), l.t}
}

func (s *server) accept() *Conn {
	s.t.Helper()
	s.SetDeadline(time.Now().Add(10 * time.Second))
	c, err := s.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c.(*Conn)
}

// crash ends a connection as the death of its process would: the kernel closes
// the socket and nobody tells the journal.
func crash(c *Conn) { c.tcp.Close() }

// pair returns both ends of a protected connection.
func pair(t testing.TB, lc ListenConfig) (*lab, *server, *Conn, *client) {
	t.Helper()
	l := newLab(t)
	s := l.listen(lc)
	cl := l.dial(s.Addr())
	t.Cleanup(func() { cl.Close() })
	c := s.accept()
	if !c.Protected() {
		t.Fatal("the connection is unprotected")
	}
	return l, s, c, cl
}

// step reads want in one Read and writes reply in one Write.
func step(t testing.TB, c *Conn, want, reply string) {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != want {
		t.Fatalf("handler read %q, %v, want %q", buf[:n], err, want)
	}
	if n, err := c.Write([]byte(reply)); err != nil || n != len(reply) {
		t.Fatalf("handler wrote %d of %q: %v", n, reply, err)
	}
}
