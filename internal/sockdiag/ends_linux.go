package sockdiag

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"
)

// Ends tells that TCP sockets of a network namespace end: those of applications, listeners included.
// What stays of a connection in TIME_WAIT, or in FIN_WAIT2 without a socket, and handshakes are none.
// It needs no privilege. It is not safe for concurrent use.
type Ends struct{ c *socket.Conn }

// WatchEnds begins to watch the network namespace of the calling thread. Close it.
func WatchEnds() (*Ends, error) {
	c, err := socket.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_INET_DIAG, "sockdiag", nil)
	if err != nil {
		return nil, fmt.Errorf("sockdiag: %w", err)
	}
	err = c.Bind(&unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range []int{unix.SKNLGRP_INET_TCP_DESTROY, unix.SKNLGRP_INET6_TCP_DESTROY} {
		if err == nil {
			err = c.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("sockdiag: %w", err)
	}
	return &Ends{c}, nil
}

// Wait returns when a socket has ended since WatchEnds, for which no Wait has returned yet; which one
// is not told. It may return once too often, never too rarely. When ctx ends it returns its error.
func (e *Ends) Wait(ctx context.Context) error {
	var b [1]byte // the message says what List and Listeners say better
	_, _, err := e.c.Recvfrom(ctx, b[:], 0)
	if errors.Is(err, unix.ENOBUFS) { // more than there was room for
		return nil
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Close ends the watch.
func (e *Ends) Close() error { return e.c.Close() }
