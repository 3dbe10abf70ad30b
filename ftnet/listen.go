package ftnet

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"

	"github.com/ftnet/ftnet/internal/control"
)

// Listen announces on the local network address, like net.Listen, and has the
// engine protect the port. The network must be "tcp", "tcp4" or "tcp6". The
// listener is a *Listener and its connections are *Conn.
//
// Without an engine it returns an error for which errors.Is(err, ErrNoEngine)
// holds. It blocks until the engine protects the port; for an engine that was
// killed and is to come back it waits half a minute.
func Listen(network, address string) (net.Listener, error) {
	var lc ListenConfig
	return lc.Listen(context.Background(), network, address)
}

// Listen announces on the local network address with the configuration's
// options. See the function of the same name. The context bounds the
// resolution of the address and the conversation with the engine; once Listen
// has returned it does not affect the listener.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, listenError(network, net.UnknownNetworkError(network))
	}
	if _, err := lc.Compare.MarshalText(); err != nil {
		return nil, listenError(network, err)
	}
	log := lc.logger()
	e, err := findEngine(ctx, log)
	if err != nil {
		if !lc.Optional || ctx.Err() != nil {
			return nil, listenError(network, err)
		}
		warnPlain(log, err)
		ln, err := lc.listenTCP(ctx, network, address, nil)
		if err != nil {
			return nil, err
		}
		return &Listener{tcp: ln, log: log}, nil
	}
	return lc.listenAgain(ctx, network, address, e)
}

// listenAgain listens for any port on the one that the process before had for this
// address, if its clients wait there: else they would wait in vain.
func (lc *ListenConfig) listenAgain(ctx context.Context, network, address string, e *engine) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if address == "" {
		port, err = "0", nil
	}
	if err != nil || port != "0" && port != "" {
		return lc.listenProtected(ctx, network, address, "", e)
	}
	asked := network + " " + net.JoinHostPort(host, "0")
	former, err := e.session.Former(ctx, control.Protect{Network: network, Asked: asked, Compare: lc.Compare})
	if err != nil {
		lc.logger().Debug("ftnet: clients of a former port unknown", "address", address, "reason", err)
	}
	if former != 0 {
		again := net.JoinHostPort(host, strconv.Itoa(int(former)))
		ln, err := lc.listenProtected(ctx, network, again, asked, e)
		if err == nil || ctx.Err() != nil {
			return ln, err
		}
		lc.logger().Warn("ftnet: former port not available; its clients are lost", "address", again, "reason", err)
	}
	return lc.listenProtected(ctx, network, address, asked, e)
}

var plainOnce sync.Once

func warnPlain(log *slog.Logger, err error) {
	plainOnce.Do(func() {
		log.Warn("ftnet: listening without protection: a crash will break the connections", "reason", err)
	})
}

// listenProtected asks for protection before the bind where the port is known,
// so that no client ever meets the port unprotected. asked is what the application
// has asked for, if that was any port.
func (lc *ListenConfig) listenProtected(ctx context.Context, network, address, asked string, e *engine) (net.Listener, error) {
	id := e.nextID.Add(1)
	protected := false
	protect := func(network, address string, c syscall.RawConn) error {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return err
		}
		protected = true
		return e.session.Protect(ctx, control.Protect{
			ID: id, Network: network, Address: address, Port: uint16(n), Compare: lc.Compare, Netns: netnsCookie(c), Asked: asked,
		})
	}
	ln, err := lc.listenTCP(ctx, network, address, protect)
	if err == nil {
		l := &Listener{tcp: ln, engine: e, id: id, compare: lc.Compare, log: lc.logger()}
		if !protected {
			var c syscall.RawConn
			if c, err = ln.SyscallConn(); err == nil {
				err = protect(ln.Addr().Network(), ln.Addr().String(), c)
			}
		}
		if err == nil {
			err = l.announce(ctx)
		}
		if err == nil {
			return l, nil
		}
		ln.Close()
		err = listenError(network, err)
	}
	if protected {
		// The engine must not hold back the port of a listener that is not.
		if cerr := e.session.Closed(ctx, control.Closed{ID: id}); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}
	return nil, err
}

// listenTCP makes the kernel's listener; protect, if not nil, runs last before
// the bind.
func (lc *ListenConfig) listenTCP(ctx context.Context, network, address string, protect func(network, address string, c syscall.RawConn) error) (*net.TCPListener, error) {
	nlc := net.ListenConfig{KeepAlive: lc.KeepAlive, KeepAliveConfig: lc.KeepAliveConfig}
	nlc.SetMultipathTCP(false) // the gate strips it: sequence numbers would be two-layered
	nlc.Control = func(network, address string, c syscall.RawConn) error {
		if lc.Control != nil {
			if err := lc.Control(network, address, c); err != nil {
				return err
			}
		}
		if protect != nil {
			return protect(network, address, c)
		}
		return nil
	}
	ln, err := nlc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp := ln.(*net.TCPListener)
	if protect != nil {
		refuseFastOpen(tcp)
	}
	return tcp, nil
}

func listenError(network string, err error) error {
	return &net.OpError{Op: "listen", Net: network, Err: err}
}
