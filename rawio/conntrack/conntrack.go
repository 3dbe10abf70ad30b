// Package conntrack changes what the kernel's connection tracking (netfilter) knows
// of single connections. What is left there of a connection whose server has died
// may make the next handshake of the same endpoints invalid to a rule set, and so
// does a client on the host itself whose sequence numbers are translated: tracking
// sees them where they are not yet, and the server's where they are not either.
package conntrack

import "errors"

// ErrNotSupported is returned by Open where there is no connection tracking.
var ErrNotSupported = errors.New("conntrack: connection tracking needs Linux")
