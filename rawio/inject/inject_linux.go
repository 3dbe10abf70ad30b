package inject

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Injector is an open injector. It may be used by many goroutines; packets of
// one goroutine and address family leave in order.
type Injector struct {
	v4, v6 *sender
	closed atomic.Bool
}

// Open opens raw sockets in the calling thread's network namespace. A mark of
// 0 marks nothing. It needs CAP_NET_RAW, and CAP_NET_ADMIN for the mark. On a
// host without IPv6 only IPv4 packets can be sent.
func Open(mark uint32) (*Injector, error) {
	v4, err := openSender(unix.AF_INET, mark)
	if err != nil {
		return nil, fmt.Errorf("inject: IPv4: %w", err)
	}
	v6, err := openSender(unix.AF_INET6, mark)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		v4.conn.Close()
		return nil, fmt.Errorf("inject: IPv6: %w", err)
	}
	return &Injector{v4: v4, v6: v6}, nil
}

// Send sends one packet. It blocks only while the socket's send buffer is full,
// which a device with a long queue can bring about. The packet is copied. The
// error is ErrPacket, ErrTooBig, ErrNoBuffers, ErrUnreachable (the latter three
// with the system's error), net.ErrClosed or another error of the system.
func (i *Injector) Send(packet []byte) error {
	_, err := i.SendBatch([][]byte{packet})
	return err
}

// SendBatch sends packets in order and returns how many were sent. With an
// error, packets[n] is the one that could not be sent; the caller may go on
// behind it.
func (i *Injector) SendBatch(packets [][]byte) (n int, err error) {
	for n < len(packets) {
		s, _, err := i.route(packets[n])
		if err != nil {
			return n, err
		}
		run := n + 1
		for run < len(packets) && run-n < maxBatch {
			if next, _, err := i.route(packets[run]); err != nil || next != s {
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
func (i *Injector) route(p []byte) (*sender, netip.Addr, error) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && int(binary.BigEndian.Uint16(p[2:])) == len(p):
		return i.v4, netip.AddrFrom4([4]byte(p[16:20])), nil
	case len(p) >= 40 && p[0]>>4 == 6 && int(binary.BigEndian.Uint16(p[4:]))+40 == len(p):
		if i.v6 == nil {
			return nil, netip.Addr{}, fmt.Errorf("inject: IPv6: %w", unix.EAFNOSUPPORT)
		}
		return i.v6, netip.AddrFrom16([16]byte(p[24:40])), nil
	}
	return nil, netip.Addr{}, ErrPacket
}

// Close closes the sockets. A Send that blocks returns net.ErrClosed.
func (i *Injector) Close() error {
	i.closed.Store(true)
	err := i.v4.conn.Close()
	if i.v6 != nil {
		err = errors.Join(err, i.v6.conn.Close())
	}
	return err
}

func (i *Injector) translate(err error, packet []byte) error {
	if i.closed.Load() {
		return net.ErrClosed
	}
	_, dst, _ := i.route(packet)
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
