package inject

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Injector is an open injector. It may be used by many goroutines; packets of
// one goroutine, address family and direction leave in order.
type Injector struct {
	toClient, toServer pair
	closed             atomic.Bool
}

// pair is the sockets of both address families for one direction.
type pair struct{ v4, v6 *sender }

// Open opens raw sockets in the calling thread's network namespace. It needs
// CAP_NET_RAW. On a host without IPv6 only IPv4 packets can be sent.
func Open() (*Injector, error) {
	i := new(Injector)
	for _, p := range []*pair{&i.toClient, &i.toServer} {
		if err := p.open(); err != nil {
			return nil, errors.Join(err, i.Close())
		}
	}
	return i, nil
}

func (p *pair) open() (err error) {
	if p.v4, err = openSender(unix.AF_INET); err != nil {
		return fmt.Errorf("inject: IPv4: %w", err)
	}
	if p.v6, err = openSender(unix.AF_INET6); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("inject: IPv6: %w", err)
	}
	return nil
}

// senders are those that are open.
func (p *pair) senders() []*sender {
	return slices.DeleteFunc([]*sender{p.v4, p.v6}, func(s *sender) bool { return s == nil })
}

// Cookies returns the kernel's names (SO_COOKIE) of the sockets that send to
// clients and to the server.
func (i *Injector) Cookies() (toClient, toServer []uint64, err error) {
	for _, p := range []struct {
		of   *pair
		list *[]uint64
	}{{&i.toClient, &toClient}, {&i.toServer, &toServer}} {
		for _, s := range p.of.senders() {
			c, err := s.cookie()
			if err != nil {
				return nil, nil, fmt.Errorf("inject: socket cookie: %w", err)
			}
			*p.list = append(*p.list, c)
		}
	}
	return toClient, toServer, nil
}

// ToServer sends one packet in a client's name into the local stack. It blocks
// only while the socket's send buffer is full. The packet is copied. The error is
// ErrPacket, ErrTooBig, ErrNoBuffers, ErrUnreachable (the latter three with the
// system's error), net.ErrClosed or another error of the system.
func (i *Injector) ToServer(packet []byte) error {
	_, err := i.send(&i.toServer, [][]byte{packet})
	return err
}

// ToClient sends packets in the server's name, in order, and returns how many
// were sent. With an error, packets[n] is the one that could not be sent; the
// caller may go on behind it. It blocks only while the socket's send buffer is
// full, which a device with a long queue can bring about. Errors are those of
// ToServer.
func (i *Injector) ToClient(packets [][]byte) (n int, err error) {
	return i.send(&i.toClient, packets)
}

func (i *Injector) send(by *pair, packets [][]byte) (n int, err error) {
	for n < len(packets) {
		s, _, err := by.route(packets[n])
		if err != nil {
			return n, err
		}
		run := n + 1
		for run < len(packets) && run-n < maxBatch {
			if next, _, err := by.route(packets[run]); err != nil || next != s {
				break
			}
			run++
		}
		sent, err := s.send(packets[n:run])
		n += sent
		if err != nil {
			return n, i.translate(err, packets[n])
		}
	}
	return n, nil
}

// route checks the packet and returns the socket for its family, and its
// destination. The length matters: the kernel would pad or overwrite silently.
func (by *pair) route(p []byte) (*sender, netip.Addr, error) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && int(binary.BigEndian.Uint16(p[2:])) == len(p):
		return by.v4, netip.AddrFrom4([4]byte(p[16:20])), nil
	case len(p) >= 40 && p[0]>>4 == 6 && int(binary.BigEndian.Uint16(p[4:]))+40 == len(p):
		if by.v6 == nil {
			return nil, netip.Addr{}, fmt.Errorf("inject: IPv6: %w", unix.EAFNOSUPPORT)
		}
		return by.v6, netip.AddrFrom16([16]byte(p[24:40])), nil
	}
	return nil, netip.Addr{}, ErrPacket
}

// Close closes the sockets. A call that blocks returns net.ErrClosed.
func (i *Injector) Close() error {
	i.closed.Store(true)
	var errs []error
	for _, s := range append(i.toClient.senders(), i.toServer.senders()...) {
		errs = append(errs, s.conn.Close())
	}
	return errors.Join(errs...)
}

func (i *Injector) translate(err error, packet []byte) error {
	if i.closed.Load() {
		return net.ErrClosed
	}
	_, dst, _ := i.toClient.route(packet)
	var kind error
	switch err {
	case unix.EMSGSIZE:
		kind = ErrTooBig
	case unix.ENOBUFS, unix.ENOMEM:
		kind = ErrNoBuffers
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN:
		kind = ErrUnreachable
	default:
		return fmt.Errorf("inject: %d bytes to %v: %w", len(packet), dst, err)
	}
	return fmt.Errorf("%w: %d bytes to %v: %w", kind, len(packet), dst, err)
}
