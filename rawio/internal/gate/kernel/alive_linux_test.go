package kernel

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// unacknowledged is how many bytes a socket has sent that its peer has not
// acknowledged.
func unacknowledged(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	must(t, err)
	n := -1
	must(t, raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }))
	must(t, err)
	return n
}

// late is Beat of a gate that nobody takes over.
func late(t *testing.T, g *Gate) bool {
	t.Helper()
	late, err := g.Beat()
	must(t, err)
	return late
}

// TestDeadEngine: what an engine that gives no sign of life any more has held
// goes its way when the time is over, and not before; connections begin and end.
func TestDeadEngine(t *testing.T) {
	for _, hold := range []bool{true, false} {
		t.Run(map[bool]string{true: "hold", false: "open"}[hold], func(t *testing.T) {
			addr := netip.MustParseAddr("10.77.0.1")
			l := newLab(t)
			config := Config{MaxConns: 4, ID: "00000001", DeadAfter: 700 * time.Millisecond}
			if hold {
				config.DeadAfter = 0
			}
			g, err := Load(config)
			must(t, err)
			defer func() { must(t, g.Close()) }()
			must(t, g.Attach(l.a))
			listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, servicePort).String())
			must(t, err)
			defer listener.Close()
			client := connect(t, l.clientSocket(t, addr), addr).(*net.TCPConn)
			defer client.Close()
			server, err := listener.Accept()
			must(t, err)
			state := liveState(t, client)
			state.Flags &^= gate.FlagUnmodified
			state.Stable -= 1 << 30 // nothing of what comes is stable
			state.store(g.Slot(2))
			must(t, g.Bind(flowFrom(client), 2))
			must(t, g.SetService(servicePort, gate.ServiceListen, false))

			late(t, g) // the test may have been slow
			beat := time.Now()
			if late(t, g) {
				t.Error("the engine is late at once")
			}
			_, err = client.Write([]byte("hello"))
			must(t, err)
			_, err = io.ReadFull(server, make([]byte, 5)) // delivered need not be stable
			must(t, err)
			wait := time.Second
			if !hold {
				wait = 20 * time.Second
			}
			for end := beat.Add(wait); unacknowledged(t, client) > 0 && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
			after := time.Since(beat)
			if hold {
				if n := unacknowledged(t, client); n != 5 || g.Slot(2).Opened() {
					t.Errorf("%d bytes not acknowledged, opened: %v", n, g.Slot(2).Opened())
				}
				if late(t, g) {
					t.Error("a gate that waits says that it has not")
				}
				if stats, err := g.Stats(); err != nil || stats.AckHeld == 0 {
					t.Errorf("%+v, %v", stats, err)
				}
				must(t, server.Close())
				if got := whatComes(t, client, errNothing); got != errNothing {
					t.Errorf("the client sees %v", got)
				}
				return
			}
			if n := unacknowledged(t, client); n != 0 || after < config.DeadAfter || !g.Slot(2).Opened() {
				t.Errorf("%d bytes not acknowledged after %v, opened: %v", n, after, g.Slot(2).Opened())
			}
			another := connect(t, l.clientSocket(t, addr), addr)
			defer another.Close()
			must(t, server.Close())
			if got := whatComes(t, client, errEnd); got != errEnd {
				t.Errorf("the client sees %v", got)
			}
			if !late(t, g) || late(t, g) {
				t.Error("a gate that has not waited for its engine does not say so, or does twice")
			}
			stats, err := g.Stats()
			must(t, err)
			if stats.Opened < 3 || stats.FINHeld != 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}
