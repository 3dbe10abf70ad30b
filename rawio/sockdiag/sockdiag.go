// Package sockdiag asks the kernel which TCP sockets it has, and removes the
// one that a crashed process has left (NETLINK_SOCK_DIAG).
package sockdiag

import "errors"

var (
	// ErrNotFound is returned by Destroy when the kernel has no such socket.
	ErrNotFound = errors.New("sockdiag: no such socket")
	// ErrNotSupported is returned when the kernel cannot remove sockets
	// (CONFIG_INET_DIAG_DESTROY).
	ErrNotSupported = errors.New("sockdiag: not supported: the kernel needs CONFIG_INET_DIAG_DESTROY")
)

// State of a TCP socket, numbered as in the kernel.
type State uint8

// The states (include/net/tcp_states.h).
const (
	Established State = iota + 1
	SynSent
	SynRecv
	FinWait1
	FinWait2
	TimeWait
	Close
	CloseWait
	LastAck
	Listen
	Closing
	NewSynRecv
)
