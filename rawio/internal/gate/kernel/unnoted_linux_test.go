package kernel

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// unwatchedGate is a gate whose program that notes releases has gone, as it goes with an
// engine that has no pins.
func unwatchedGate(t *testing.T, l *lab) *Gate {
	t.Helper()
	g := watchedGate(t)
	must(t, g.Attach(l.a))
	g.releases.mu.Lock()
	defer g.releases.mu.Unlock()
	must(t, g.releases.at.Close())
	g.releases.at = nil
	if n := watchers(t); n != 0 {
		t.Fatalf("%d programs watch", n)
	}
	return g
}

// TestUnnotedRelease: with nobody to note releases, too, what a crash makes is held, and
// what is meant leaves.
func TestUnnotedRelease(t *testing.T) {
	l := newLab(t)
	g := unwatchedGate(t, l)
	for name, addr := range map[string]string{"IPv4": "10.77.0.1", "IPv6": "fd77::1"} {
		for _, e := range endings() {
			if e.released == gate.ReleasedClosed {
				e.released = gate.ReleasedNo
			}
			if e.name == "SIGKILL after shutdown" { // nothing more is sent
				e.released, e.events = gate.ReleasedNo, nil
			}
			e.events = slices.DeleteFunc(e.events, func(k gate.EventKind) bool {
				return k == gate.EventRSTHeld // the news of the crash tells enough
			})
			if e.name == "exit 0 before accept" || e.name == "close of the listener before accept" {
				e.events, e.client = []gate.EventKind{gate.EventRSTHeld}, errNothing // nobody knows who closes the listener
			}
			t.Run(name+"/"+e.name, func(t *testing.T) {
				l.enter(t)
				e.check(t, l, g, netip.MustParseAddr(addr), netip.MustParseAddr(addr))
			})
		}
	}
}

// TestUnnotedLater: a FIN that has to wait for the data before it is sent when the
// process that has released the socket may be gone. Who has noted why it was released
// knows what it means; else nobody does, and it is held.
func TestUnnotedLater(t *testing.T) {
	kill := func(t *testing.T, s *server) {
		must(t, s.cmd.Process.Signal(unix.SIGKILL))
		_, _ = s.cmd.Process.Wait() // it was killed
	}
	do := func(command string) func(*testing.T, *server) {
		return func(t *testing.T, s *server) { s.do(t, command) }
	}
	for _, c := range []struct {
		name    string
		watched bool
		end     func(*testing.T, *server)
		noted   bool // the engine has taken note of it
		events  []gate.EventKind
		client  error
	}{
		{"watched/close", true, do("close"), false, nil, errEnd},
		{"watched/close that was noted", true, do("close"), true, nil, errEnd},
		{"watched/SIGKILL", true, kill, false, []gate.EventKind{gate.EventCrashed, gate.EventFINHeld}, errNothing},
		{"unwatched/close", false, do("close"), false, []gate.EventKind{gate.EventFINHeld}, errNothing},
		{"unwatched/SIGKILL", false, kill, false, []gate.EventKind{gate.EventFINHeld}, errNothing},
		{"unwatched/shutdown", false, do("shutdown"), false, nil, errEnd},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			var g *Gate
			if c.watched {
				g = watchedGate(t)
				must(t, g.Attach(l.a))
			} else {
				g = unwatchedGate(t, l)
			}
			for _, addr := range []string{"10.77.0.1", "fd77::1"} {
				addr := netip.MustParseAddr(addr)
				s := startServer(t, netip.AddrPortFrom(addr, servicePort))
				client := connect(t, l.clientSocket(t, addr), addr).(*net.TCPConn)
				defer client.Close()
				liveState(t, client).store(g.Slot(2))
				must(t, g.Bind(flowFrom(client), 2))
				must(t, g.SetService(servicePort, gate.ServiceListen, true))
				s.do(t, "accept")
				s.do(t, "fill")
				c.end(t, s)
				if c.noted {
					g.Slot(2).NoteRelease()
				}
				// What goes with a FIN that is held does not come either.
				end := make(chan error, 1)
				must(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
				go func() { _, err := io.Copy(io.Discard, client); end <- err }()
				var kinds []gate.EventKind
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				for range c.events {
					ev, err := g.readEvent(ctx)
					must(t, err)
					kinds = append(kinds, ev.Kind)
				}
				if !slices.Equal(kinds, c.events) {
					t.Errorf("events %v, want %v", kinds, c.events)
				}
				if c.client == errNothing {
					must(t, client.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
				}
				if err := <-end; os.IsTimeout(err) != (c.client == errNothing) || c.client == errEnd && err != nil {
					t.Errorf("%v: the client's stream ends with %v", addr, err)
				}
				must(t, g.DeleteService(servicePort))
				must(t, g.Unbind(flowFrom(client)))
				for g.Events().ring.AvailableBytes() > 0 { // FINs that were repeated
					_, err := g.readEvent(ctx)
					must(t, err)
				}
				client.Close()
				_ = s.cmd.Process.Kill() // it may be gone
				_, _ = s.cmd.Process.Wait()
			}
		})
	}
}
