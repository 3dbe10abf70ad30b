package rawio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Probe opens a TCP connection to a protected port at an address of this host and
// closes it, to find out whether a server accepts connections. The gate, which holds all
// other connections in an outage, passes this one. Probe blocks until the connection is open or
// refused, or ctx ends.
func (e *Engine) Probe(ctx context.Context, server netip.AddrPort) error {
	if err := e.probe(ctx, server); err != nil {
		return fmt.Errorf("rawio: probe %v: %w", server, err)
	}
	return nil
}

func (e *Engine) probe(ctx context.Context, server netip.AddrPort) error {
	family := unix.AF_INET
	if server.Addr().Is6() {
		family = unix.AF_INET6
	}
	c, err := socket.Socket(family, unix.SOCK_STREAM, unix.IPPROTO_TCP, "probe", nil)
	if err != nil {
		return err
	}
	defer c.Close()
	// The SYN passes as the engine's own. For all that follows the flow must be bound, before the first
	// packet, to a slot that makes the gate pass everything.
	cookie, err := cookieOf(c)
	if err != nil {
		return err
	}
	if err := e.atGate(func(g packetGate) error { return g.AddSender(cookie, gate.ToServer) }); err != nil {
		return err
	}
	defer func() { // fails only with the gate itself
		_ = e.atGate(func(g packetGate) error { return g.RemoveSender(cookie) })
	}()
	if err := c.Bind(sockaddr(netip.AddrPortFrom(server.Addr(), 0))); err != nil {
		return err
	}
	name, err := c.Getsockname()
	if err != nil {
		return err
	}
	flow := Flow{Client: addrPort(name), Server: server}
	if err := e.atGate(func(g packetGate) error { return g.Bind(flow, e.bypassSlot()) }); err != nil {
		return err
	}
	defer func() { _ = e.atGate(func(g packetGate) error { return g.Unbind(flow) }) }()
	_, err = c.Connect(ctx, sockaddr(server))
	return err
}

// bypassSlot is a slot that is always free: the gate lets its flows pass.
func (e *Engine) bypassSlot() uint32 { return uint32(e.cfg.MaxConns) }

// cookieOf returns the cookie of a socket (SO_COOKIE).
func cookieOf(c *socket.Conn) (cookie uint64, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) { cookie, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE) })
	return cookie, errors.Join(controlErr, err)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}
