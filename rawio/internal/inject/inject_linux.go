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
// one goroutine, address family, direction and kind of way leave in order.
type Injector struct {
	toClient, toServer direction
	devices            devices
	closed             atomic.Bool
}

// direction is the sockets for one direction: raw sockets of both address families,
// and a packet socket.
type direction struct {
	v4, v6, link *sender
	turns        bool // what the packet socket sends is to the server
}

// Open opens raw sockets in the calling thread's network namespace. It needs
// CAP_NET_RAW. On a host without IPv6 only IPv4 packets can be sent.
func Open(config Config) (*Injector, error) {
	i := new(Injector)
	i.devices.open(config)
	i.toServer.turns = true
	for _, d := range []*direction{&i.toClient, &i.toServer} {
		if err := d.open(&i.devices); err != nil {
			return nil, errors.Join(err, i.Close())
		}
	}
	return i, nil
}

func (d *direction) open(devices *devices) (err error) {
	if d.v4, err = openSender(unix.AF_INET); err != nil {
		return fmt.Errorf("inject: IPv4: %w", err)
	}
	if d.v6, err = openSender(unix.AF_INET6); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("inject: IPv6: %w", err)
	}
	if d.link, err = openSender(unix.AF_PACKET); err != nil {
		return fmt.Errorf("inject: packet socket: %w", err)
	}
	d.link.devices, d.link.turns = devices, d.turns
	return nil
}

// senders are those that are open.
func (d *direction) senders() []*sender {
	return slices.DeleteFunc([]*sender{d.v4, d.v6, d.link}, func(s *sender) bool { return s == nil })
}

// Sockets returns the names of the sockets.
func (i *Injector) Sockets() (Sockets, error) {
	var all Sockets
	for _, d := range []*direction{&i.toClient, &i.toServer} {
		for _, s := range d.senders() {
			c, err := s.cookie()
			if err != nil {
				return Sockets{}, fmt.Errorf("inject: socket cookie: %w", err)
			}
			switch {
			case !d.turns:
				all.ToClient = append(all.ToClient, c)
			case s == d.link:
				all.Turns = append(all.Turns, c)
			default:
				all.ToServer = append(all.ToServer, c)
			}
		}
	}
	return all, nil
}

// Room returns the length of the longest packet to the server that can arrive by a
// device, in bytes; 0: none can, and raw sockets are used.
func (i *Injector) Room(device int) int {
	by := i.devices.carrier(device)
	d, _ := i.devices.get(by)
	return d.MTU
}

// ToServer sends one packet in a client's name into the local stack, to arrive by
// a device if that is known. It blocks only while the socket's send buffer is full.
// The packet is copied. The error is ErrPacket, ErrMisrouted, ErrTooBig,
// ErrNoBuffers, ErrUnreachable (the latter three with the system's error), net.ErrClosed or
// another error of the system.
func (i *Injector) ToServer(p Packet) error {
	_, err := i.send(&i.toServer, []Packet{p})
	return err
}

// ToClient sends packets in the server's name, in order, and returns how many
// were sent. With an error, packets[n] is the one that could not be sent; the
// caller may go on behind it. It blocks only while a socket's send buffer is
// full, which a device with a long queue can bring about. Errors are those of
// ToServer.
func (i *Injector) ToClient(packets []Packet) (n int, err error) {
	return i.send(&i.toClient, packets)
}

func (i *Injector) send(by *direction, packets []Packet) (n int, err error) {
	for n < len(packets) {
		s, err := i.route(by, &packets[n])
		if err != nil {
			return n, err
		}
		run := n + 1
		for run < len(packets) && run-n < maxBatch {
			if next, err := i.route(by, &packets[run]); err != nil || next != s {
				break
			}
			run++
		}
		sent, err := s.send(packets[n:run])
		n += sent
		if s == by.link && gone(err) {
			// The device has just gone down, or away: the routes know more.
			i.devices.drop(packets[n].Way.Device)
			if by.turns {
				i.devices.drop(Loopback)
			}
			continue
		}
		if err != nil {
			return n, i.translate(err, packets[n].Data)
		}
	}
	return n, nil
}

func gone(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)
}

// route checks the packet and returns the socket for its way. The length matters:
// the kernel would pad or overwrite silently.
func (i *Injector) route(by *direction, p *Packet) (*sender, error) {
	raw := by.v4
	switch family(p.Data) {
	case unix.AF_INET:
	case unix.AF_INET6:
		if raw = by.v6; raw == nil {
			return nil, fmt.Errorf("inject: IPv6: %w", unix.EAFNOSUPPORT)
		}
	default:
		return nil, ErrPacket
	}
	if by.turns && i.devices.carrier(p.Way.Device) != 0 || !by.turns && i.devices.leaves(p.Way.Device) {
		return by.link, nil
	}
	if stays := i.devices.config.Stays; by.turns && stays != nil {
		if to := destination(p.Data); !stays(to, p.Way.Mark) {
			return nil, fmt.Errorf("%w: to %v", ErrMisrouted, to)
		}
	}
	return raw, nil
}

// family is the address family of a whole packet, else 0.
func family(p []byte) int {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && int(binary.BigEndian.Uint16(p[2:])) == len(p):
		return unix.AF_INET
	case len(p) >= 40 && p[0]>>4 == 6 && int(binary.BigEndian.Uint16(p[4:]))+40 == len(p):
		return unix.AF_INET6
	}
	return 0
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
	var kind error
	switch err {
	case unix.EMSGSIZE:
		kind = ErrTooBig
	case unix.ENOBUFS, unix.ENOMEM:
		kind = ErrNoBuffers
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN:
		kind = ErrUnreachable
	default:
		return fmt.Errorf("inject: %d bytes to %v: %w", len(packet), destination(packet), err)
	}
	return fmt.Errorf("%w: %d bytes to %v: %w", kind, len(packet), destination(packet), err)
}

// source and destination of a whole packet.
func source(p []byte) netip.Addr {
	if p[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(p[12:16]))
	}
	return netip.AddrFrom16([16]byte(p[8:24]))
}

func destination(p []byte) netip.Addr {
	if p[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(p[16:20]))
	}
	return netip.AddrFrom16([16]byte(p[24:40]))
}
