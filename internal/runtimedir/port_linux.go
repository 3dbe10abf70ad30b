package runtimedir

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ErrPortTaken is returned by [ClaimPort] when another engine protects the port.
var ErrPortTaken = errors.New("another engine of this network namespace protects the port")

// Port is the claim of one engine to a port of its network namespace.
type Port struct{ ln *net.UnixListener }

// ClaimPort makes the port this engine's until Close, or until its process
// ends: two engines that judged the same packets would break each other's
// connections. Like [Living] it asks the calling thread's network namespace. A
// name held by somebody who is neither root nor the engine's user is not
// believed; the port is the caller's then, too.
func ClaimPort(port uint16) (*Port, error) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: portName(port), Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) {
		if !PortTaken(port) {
			return &Port{}, nil
		}
		return nil, ErrPortTaken
	}
	if err != nil {
		return nil, fmt.Errorf("claim port %d: %w", port, err)
	}
	return &Port{ln}, nil
}

func portName(port uint16) string { return fmt.Sprintf("@ftnet/port/%d", port) }

// PortTaken reports whether the port is an engine's, so that [ClaimPort] would fail. It
// claims nothing.
func PortTaken(port uint16) bool {
	uid, err := holder(portName(port))
	if err != nil {
		return !errors.Is(err, unix.ECONNREFUSED)
	}
	return uid == 0 || int(uid) == os.Geteuid()
}

// holder returns the user who listens at an abstract address. It does not
// block: a backlog that is full is an error.
func holder(name string) (uid uint32, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return 0, err
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// Close gives the port up.
func (p *Port) Close() error {
	if p.ln == nil {
		return nil
	}
	return p.ln.Close()
}
