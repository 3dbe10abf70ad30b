// Package inject sends whole IP packets that the engine has built: into the
// local stack, in the place of a client, and to the network, in the place of
// the stack. What the host's rule sets and routes let through of a connection's
// own packets they must let through of these, so they take the same ways:
//
//   - to a client by the device by which the kernel's packets leave, with their mark,
//     behind the rule sets' hooks; the gate then has the kernel look up route and
//     neighbour;
//   - to the server by the device by which the client's packets arrive, in front of
//     the rule sets' hooks: it is given to loopback, or to that device if loopback is
//     down, and the gate turns it round;
//   - where a device is not known, is loopback, or does not have the gate: by a raw
//     socket and the host's routes. A local address is reached over the loopback
//     interface then, with its route attached, so that reverse-path filtering does not
//     refuse a client's source address.
//
// Gate and tap know what it sends by its sockets, see [Injector.Sockets].
// The package builds nothing and answers nothing; packets come from package
// segment.
package inject

import (
	"errors"
	"net/netip"
)

var (
	// ErrNotSupported is returned by Open where there are no raw sockets.
	ErrNotSupported = errors.New("inject: raw sockets need Linux")
	// ErrPacket is returned for bytes that are not an IP packet with the
	// length that its header says.
	ErrPacket = errors.New("inject: not a whole IP packet")
	// ErrTooBig is returned when the packet exceeds the MTU of its route.
	ErrTooBig = errors.New("inject: packet exceeds the path MTU")
	// ErrNoBuffers is returned when the kernel or the device has no room: the
	// packet is lost as if on the wire.
	ErrNoBuffers = errors.New("inject: no buffer space")
	// ErrMisrouted is returned for a packet to the server that the routes would have leave the
	// host.
	ErrMisrouted = errors.New("inject: the routes lead off this host")
	// ErrUnreachable is returned when there is no route to the destination.
	ErrUnreachable = errors.New("inject: destination unreachable")
)

// Loopback is the index of the loopback device, in every network namespace.
const Loopback = 1

// Way is how a packet goes.
type Way struct {
	Device int    // index of the device by which it leaves or arrives; 0: as the routes say
	Mark   uint32 // SO_MARK
}

// Packet is an IP packet and its way.
type Packet struct {
	Data []byte
	Way  Way
}

// Device is a device that is up and has the gate.
type Device struct {
	Ethernet bool    // its packets have Ethernet headers
	MAC      [6]byte // its own address
	MTU      int     // bytes, from the IP header on
}

// Config is what an injector asks of others. The functions must not block for long.
type Config struct {
	// Device tells of a device whether it is up and has the gate, and what it is like.
	Device func(index int) (Device, bool)
	// Turn returns the Ethernet source address by which the gate knows that a packet
	// is to arrive by the device.
	Turn func(index int) [6]byte
	// Stays reports whether what is sent to an address by the routes, with a mark, comes to
	// the local stack. Nil: everything does.
	Stays func(to netip.Addr, mark uint32) bool
}

// Sockets are the kernel's names (SO_COOKIE) of an injector's sockets, by what they
// send: to clients, to the server, and to the server by a device, see gate.Turns.
type Sockets struct{ ToClient, ToServer, Turns []uint64 }
