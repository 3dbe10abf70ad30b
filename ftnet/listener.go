package ftnet

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
)

// Listener is a TCP listener whose connections survive a crash of the process.
type Listener struct {
	tcp        *net.TCPListener
	engine     *engine // nil: plain
	id         uint64
	compare    Compare
	log        *slog.Logger
	recovering int

	closeOnce sync.Once
	missOnce  sync.Once
}

var _ net.Listener = (*Listener)(nil)

// announce tells the engine that connections can be handed out.
func (l *Listener) announce(ctx context.Context) error {
	r, err := l.engine.session.Listening(ctx, control.Listening{
		ID: l.id, Network: l.tcp.Addr().Network(), Address: l.tcp.Addr().String(),
	})
	if err != nil {
		return err
	}
	l.recovering = r.Recovering
	if r.Recovering > 0 {
		l.log.Info("ftnet: recovering connections from before the crash", "address", l.tcp.Addr(), "connections", r.Recovering)
	}
	return nil
}

// Protected reports whether an engine protects the listener.
func (l *Listener) Protected() bool { return l.engine != nil }

// Recovering returns how many connections from before a crash Accept will hand
// out again, as the engine counted them when Listen was called.
func (l *Listener) Recovering() int { return l.recovering }

// Accept waits for the next connection, which is a *Conn. Connections from
// before a crash come in their original order.
func (l *Listener) Accept() (net.Conn, error) {
	tcp, err := l.tcp.AcceptTCP()
	if err != nil {
		return nil, err
	}
	via := &packetCarrier{TCPConn: tcp, engine: l.engine}
	c := &Conn{tcp: tcp, via: via, log: l.log}
	if l.engine != nil && l.find(via) {
		c.adopt(via.rec)
	}
	return c, nil
}

// find finds a connection's record. A connection that the engine does not
// know works unprotected.
func (l *Listener) find(p *packetCarrier) bool {
	memory := l.engine.memory.Load()
	rec, ok := memory.Lookup(journal.Flow{
		Client: p.RemoteAddr().(*net.TCPAddr).AddrPort(),
		Server: p.LocalAddr().(*net.TCPAddr).AddrPort(),
	})
	if !ok || !rec.Accept(l.compare) {
		l.missOnce.Do(func() {
			l.log.Warn("ftnet: a connection is unknown to the engine and is served unprotected",
				"client", p.RemoteAddr(), "address", l.tcp.Addr())
		})
		return false
	}
	p.rec, p.memory = rec, memory.number
	return true
}

// Close stops listening. Connections already accepted are not touched.
func (l *Listener) Close() error {
	err := l.tcp.Close()
	l.closeOnce.Do(func() {
		if l.engine == nil {
			return
		}
		cerr := l.engine.session.Closed(context.Background(), control.Closed{ID: l.id})
		if cerr != nil {
			l.log.Debug("ftnet: closing the listener", "error", cerr)
		}
	})
	return err
}

// Addr returns the listener's network address, a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// SetDeadline sets the deadline of Accept.
func (l *Listener) SetDeadline(t time.Time) error { return l.tcp.SetDeadline(t) }

// SyscallConn returns the raw listening socket. Connections accepted through
// it are unprotected.
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.tcp.SyscallConn() }
