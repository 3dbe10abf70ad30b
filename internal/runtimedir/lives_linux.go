package runtimedir

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// livingName is an abstract socket address. It belongs to a network namespace,
// as an engine's filters do, and to no file system: whoever sees the filters
// can ask for it, whatever runtime directory, mount or process namespace the
// engine runs in. The kernel forgets it however the engine ends.
func livingName(id string) *net.UnixAddr {
	return &net.UnixAddr{Name: "@ftnet/engine/" + id, Net: "unixgram"}
}

// claim tells the network namespace that the engine of that id lives, until
// the result is closed. It returns errTaken if another one has the id.
func claim(id string) (*net.UnixConn, error) {
	c, err := net.ListenUnixgram("unixgram", livingName(id))
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, errTaken
	}
	if err != nil {
		return nil, fmt.Errorf("claim the engine id %s: %w", id, err)
	}
	return c, nil
}

// claimed reports whether a process in the network namespace of the calling thread has
// claimed the id. Where that cannot be found out it is so.
func claimed(id string) bool {
	c, err := net.DialUnix("unixgram", nil, livingName(id))
	if err != nil {
		return !errors.Is(err, unix.ECONNREFUSED)
	}
	c.Close()
	return true
}
