// Package sockdiag lists the kernel's TCP connections and removes single ones,
// through the socket monitoring interface (sock_diag(7)). The engine uses it
// to clear away what a crashed process has left behind, before it opens the
// same connection again.
//
// It is not for gathering statistics: a listing walks the kernel's whole
// connection table.
package sockdiag

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
)

var (
	// ErrNotFound is returned by Destroy when no such connection exists.
	ErrNotFound = errors.New("sockdiag: no such connection")
	// ErrNotSupported is returned when the kernel cannot destroy sockets: it
	// needs Linux 4.9 with CONFIG_INET_DIAG_DESTROY, and the module tcp_diag.
	ErrNotSupported = errors.New("sockdiag: the kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY)")
	// ErrOrphans is returned by Supported when the kernel does not destroy sockets that no process
	// has any more: it only empties their queues, and says that it has (tcp_abort before Linux 6.11).
	ErrOrphans = errors.New("sockdiag: the kernel cannot destroy the sockets of a process that has ended (before Linux 6.11)")
)

// State is a connection's state as the kernel numbers it (include/net/tcp_states.h).
type State uint8

// The states of RFC 9293, section 3.3.2.
const (
	Established State = 1 + iota
	SynSent
	SynReceived
	FinWait1
	FinWait2
	TimeWait
	Close
	CloseWait
	LastAck
	Listen
	Closing
)

var stateNames = [...]string{
	Established: "ESTABLISHED", SynSent: "SYN_SENT", SynReceived: "SYN_RECV", FinWait1: "FIN_WAIT1",
	FinWait2: "FIN_WAIT2", TimeWait: "TIME_WAIT", Close: "CLOSE", CloseWait: "CLOSE_WAIT",
	LastAck: "LAST_ACK", Listen: "LISTEN", Closing: "CLOSING",
}

// String returns the kernel's name of the state.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return fmt.Sprintf("STATE(%d)", uint8(s))
}

// Socket is a connection's.
type Socket struct {
	Flow   segment.Flow // Server is the local end
	State  State
	Cookie uint64 // no other socket of this boot has it; it is that of its half-open connection
	Inode  uint32 // as in /proc/PID/fd; 0: not accepted yet, or no process has it any more
	// Interface is the index of the one that the socket is bound to; 0: none.
	Interface uint32
	// Transparent says that the socket, or the listener that it is of, takes connections
	// to addresses of other hosts (IP_TRANSPARENT). Linux 5.10 tells.
	Transparent bool
}

// Served reports whether a process has the connection or is yet to accept it: it is
// neither half-open nor left to the kernel to be drained.
func (s *Socket) Served() bool {
	switch s.State {
	case Established, CloseWait:
		return true
	case FinWait1, FinWait2, LastAck, Closing:
		return s.Inode != 0
	}
	return false
}

// Listener is a listening socket.
type Listener struct {
	Address   netip.AddrPort // 0.0.0.0 and [::] mean every address; [::] usually IPv4, too
	Cookie    uint64         // no other socket of this boot has it
	Inode     uint32         // as in /proc/PID/fd
	V6Only    bool           // [::] does not mean IPv4
	Interface uint32         // index of the one that it is bound to; 0: none
	// Transparent is as in Socket.
	Transparent bool
}

// Bytes is how many new bytes of the stream a connection's socket has received, in order,
// and sent. A FIN that has been received counts as one.
type Bytes struct{ Received, Sent int64 }
