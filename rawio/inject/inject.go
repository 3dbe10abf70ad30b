// Package inject sends whole IP packets that the engine has built: into the
// local stack, in the place of a client, and to the network, in the place of
// the stack. A local address is reached over the loopback interface, with its
// route attached, so that reverse-path filtering does not refuse the client's
// source address.
//
// Gate and tap know what it sends by its sockets, see [Injector.Cookies].
// The package builds nothing and answers nothing; packets come from package
// segment.
package inject

import "errors"

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
	// ErrUnreachable is returned when there is no route to the destination.
	ErrUnreachable = errors.New("inject: destination unreachable")
)
