package rawio

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// Listening declares that a server listens on the port. After a crash this begins
// the reconnection (spec figure 19); the result is the number of connections
// that will be opened again.
func (e *Engine) Listening(port uint16) (recovering int) {
	e.findTransparent([]uint16{port})
	e.do(func(m *south.Machine) { recovering = m.Listening(port) })
	e.trials.wake()
	return recovering
}

// findTransparent tells the gate which of the ports' listeners accept connections to
// addresses of other hosts. A port without a listener keeps its last state.
func (e *Engine) findTransparent(ports []uint16) {
	list, err := e.table.Listeners(ports)
	if err != nil {
		e.log.Debug("listeners not listed", "error", err)
		return
	}
	transparent := map[uint16]bool{}
	for _, l := range list {
		p := l.Address.Port()
		transparent[p] = transparent[p] || l.Transparent
	}
	for port, is := range transparent {
		err := e.atGate(func(g packetGate) error { return g.SetTransparent(port, is) })
		if err != nil && !errors.Is(err, net.ErrClosed) {
			e.log.Error("port not accepted by the gate", "port", port, "error", err)
		}
	}
}

// Crash declares that the process that served the ports is dead, and all its sockets
// are closed.
func (e *Engine) Crash(ports ...uint16) {
	e.do(func(m *south.Machine) { m.Crash(ports...) })
	e.sweepJournals(ports)
}

// Fence ends all that the engine does for ports whose service another engine has taken over, until
// Unprotect, and returns how many connections it has forgotten: see south.Machine.Fence. When no other
// port is left the heartbeat ends.
func (e *Engine) Fence(ports ...uint16) (connections int) {
	e.do(func(m *south.Machine) {
		for _, p := range ports {
			connections += m.Fence(p)
			e.unseen.forget(p)
			e.trials.forget(p)
		}
	})
	return connections
}

// Abort resets a connection and reports why.
func (e *Engine) Abort(f Flow, why string) {
	e.do(func(m *south.Machine) {
		if c := m.Conn(f); c != nil {
			m.Abort(c, why)
		}
	})
}

// AbortAll resets every connection of the port, for instance because its
// server is given up.
func (e *Engine) AbortAll(port uint16, why string) {
	e.do(func(m *south.Machine) { m.AbortAll(port, why) })
}

// Release ends the protection of the port's connections; the kernel's remaining packets
// to the clients pass.
func (e *Engine) Release(port uint16) {
	e.do(func(m *south.Machine) { m.Release(port) })
}

// Succeed declares that the process that served the ports has ended on purpose and that
// another one will follow: the protection of its connections ends, as by Release, and new
// ones wait for the next process, as after a crash.
func (e *Engine) Succeed(ports ...uint16) {
	e.do(func(m *south.Machine) {
		for _, p := range ports {
			m.Release(p)
		}
		m.Crash(ports...) // in one go: no client is refused in between
	})
	e.sweepJournals(ports)
}

// Drain waits until the kernel has no connection of the ports left that still
// needs the engine, and clients that were sent a RST had a second to ask for it
// again; or until ctx ends, whose error it returns if connections are left.
func (e *Engine) Drain(ctx context.Context, ports ...uint16) error {
	t := time.NewTicker(drainPoll)
	defer t.Stop()
	began := time.Now()
	for {
		open, resetting, err := e.remaining(ports)
		if err != nil || !open && (!resetting || time.Since(began) >= resetGrace) {
			return err
		}
		select {
		case <-ctx.Done():
			if !open {
				return nil
			}
			return ctx.Err()
		case <-t.C:
		}
	}
}

// drainPoll is how often Drain checks. The kernel reports when sockets end (sockdiag.Ends), but not when
// what is left of one in FIN_WAIT2 (tcp_time_wait) comes to TIME_WAIT, nor of handshakes.
const drainPoll = 20 * time.Millisecond

// resetGrace is enough for a client that waits for an acknowledgment to send its
// segment again (RFC 6298: a time-out is a second at first, and rarely more later).
const resetGrace = time.Second

// Serves reports whether the core or the kernel has a connection of the port.
func (e *Engine) Serves(port uint16) bool {
	found := false
	e.do(func(m *south.Machine) {
		m.Conns(func(c *south.Conn) bool {
			found = c.Flow.Server.Port() == port
			return !found
		})
	})
	if found {
		return true
	}
	list, err := e.table.Sockets([]uint16{port})
	return err != nil || len(list) > 0
}

// remaining reports whether the ports have sockets that may still send something, and connections
// whose RST may not have arrived.
func (e *Engine) remaining(ports []uint16) (open, resetting bool, err error) {
	e.do(func(m *south.Machine) {
		m.Conns(func(c *south.Conn) bool {
			resetting = c.State() == south.Resetting && slices.Contains(ports, c.Flow.Server.Port())
			return !resetting
		})
	})
	list, err := e.table.List(ports)
	for _, state := range list {
		open = open || state != sockdiag.TimeWait && state != sockdiag.Listen
	}
	return open, resetting, err
}

// sweep ends idle connections whose sockets are gone without an event.
func (e *Engine) sweep(idle time.Duration) {
	e.mu.Lock()
	ports := e.machine.Ports()
	e.mu.Unlock()
	if len(ports) == 0 {
		return
	}
	list, err := e.table.List(ports)
	if err != nil {
		e.log.Warn("sockets not listed", "error", err)
		return
	}
	e.do(func(m *south.Machine) {
		m.Sweep(int64(idle), func(f segment.Flow) bool { _, ok := list[f]; return ok })
	})
}
