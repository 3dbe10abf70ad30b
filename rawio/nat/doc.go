// Package nat asks the kernel's connection tracking for single connections:
// whether this host translates their addresses, or has a SYN proxy before its
// server. Such a connection is not the same in the network and at the socket.
//
// It is not for listing or changing what is tracked.
package nat

import (
	"errors"
	"net/netip"
)

// ErrNotFound is returned by Lookup for a connection that is not tracked, also
// where nothing is.
var ErrNotFound = errors.New("nat: the connection is not tracked")

// Entry is what is known of a connection.
type Entry struct {
	// Client and Server are the connection's ends as its first packet had them.
	Client, Server netip.AddrPort
	// SYNProxy says that this host's netfilter has answered the client's SYN in
	// the server's place, with another sequence number.
	SYNProxy bool
}
