// Package conntrack asks the kernel's connection tracking (netfilter) for single
// connections and changes what it knows of them.
//
// It knows whether this host translates a connection's addresses, or has a SYN proxy
// before its server: such a connection is not the same in the network and at the
// socket. And what is left there of a connection whose server has died may make the
// next handshake of the same endpoints invalid to a rule set, and so does a client on
// the host itself whose sequence numbers are translated: tracking sees them where they
// are not yet, and the server's where they are not either.
//
// It is not for listing what is tracked.
package conntrack

import (
	"errors"
	"net/netip"
)

var (
	// ErrNotFound is returned by Lookup for a connection that is not tracked, also
	// where nothing is.
	ErrNotFound = errors.New("conntrack: the connection is not tracked")
	// ErrNotSupported is returned where there is no connection tracking.
	ErrNotSupported = errors.New("conntrack: connection tracking needs Linux")
)

// Entry is what is known of a connection.
type Entry struct {
	// Client and Server are the connection's ends as its first packet had them.
	Client, Server netip.AddrPort
	// SYNProxy says that this host's netfilter has answered the client's SYN in
	// the server's place, with another sequence number.
	SYNProxy bool
}
