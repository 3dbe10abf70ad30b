// Package ownership is the seam between an engine and whatever decides which engine serves a
// service: this host (runtimedir.Ports), the log's fence (package recovery), and what may come,
// such as a lease that several hosts agree on. Nothing is decided here, and it is not about the
// life of server processes.
//
// A claim that is lost while it is served ends in this order:
//
//	Lost is closed
//	1. the gate holds all packets of the service's ports, in both directions: no ACK, FIN or RST
//	   leaves, now or when the server process ends, whether the engine lives or not
//	2. the core forgets the service's connections, and what the kernel has of them is removed;
//	   the log keeps what it has, which is the new owner's
//	3. the engine's heartbeat ends, unless ports are left whose claims hold: it is the whole gate's
//	4. log and status say it, once
//	5. the server process is ended
//	nothing is released before the service is removed
package ownership

import (
	"context"
	"errors"
)

// Service is what is claimed: a service at one of its ports. An Ownership may decide by either
// alone.
type Service struct {
	Name string
	Port uint16
}

// Ownership gives out services to engines. Its methods may be called concurrently.
type Ownership interface {
	// Claim makes a service the caller's until it releases or loses it, or its process ends. It
	// may wait for whoever decides that, until ctx ends. An error says who has the service, if
	// that is known. An Ownership that cannot be reached may give out the claim, and tell by Lost
	// that it should not have.
	Claim(ctx context.Context, s Service) (Claim, error)
}

// Claim is that of one engine to one service. Its methods may be called concurrently, and do not
// wait.
type Claim interface {
	// Epoch orders the claims that one Ownership has given out of a service: a later one has a
	// greater epoch. 0: it has none. It never changes.
	Epoch() uint64
	// Lost returns a channel, always the same one, that is closed when another engine has, or
	// may have, the service: from then on the caller must do nothing for it. It is nil if the
	// claim cannot be lost while its process lives, and Release does not close it.
	Lost() <-chan struct{}
	// Err returns why the claim was lost, an error that is [ErrLost]; nil before Lost is closed.
	Err() error
	// Release gives the service up, for which the caller has nothing more to do. Of a claim that
	// is lost it frees what the caller has of its own, and nothing of the new owner's. It may be
	// called again.
	Release() error
}

// ErrLost is what each error of [Claim].Err is.
var ErrLost = errors.New("another engine has taken over the service")
