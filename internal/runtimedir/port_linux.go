package runtimedir

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ErrPortTaken is what the error of [ClaimPort] is when another engine protects the port.
var ErrPortTaken = errors.New("another engine of this network namespace protects the port")

// PortTakenError is an [ErrPortTaken] that names the engine.
type PortTakenError struct {
	PID    int    // 0: it cannot be seen from here
	Engine string // its id, if that was found
}

func (e *PortTakenError) Error() string {
	who := ""
	switch {
	case e.PID == 0:
	case e.Engine == "":
		who = fmt.Sprintf(" (pid %d)", e.PID)
	default:
		who = fmt.Sprintf(" (engine %s, pid %d)", e.Engine, e.PID)
	}
	return ErrPortTaken.Error() + who + "; see ftnet status"
}

func (e *PortTakenError) Unwrap() error { return ErrPortTaken }

func holderPID(port uint16) int {
	cred, err := holder(portName(port))
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}

// Port is the claim of one engine to a port of its network namespace.
type Port struct{ ln *net.UnixListener }

// ClaimPort makes the port this engine's until Close, or until its process
// ends: two engines that judged the same packets would break each other's
// connections. Like [Lives] it asks the calling thread's network namespace. A
// name held by somebody who is neither root nor the engine's user is not
// believed; the port is the caller's then, too.
func ClaimPort(port uint16) (*Port, error) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: portName(port), Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) {
		if !PortTaken(port) {
			return &Port{}, nil
		}
		return nil, &PortTakenError{PID: holderPID(port)}
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
	cred, err := holder(portName(port))
	if err != nil {
		return !errors.Is(err, unix.ECONNREFUSED)
	}
	return cred.Uid == 0 || int(cred.Uid) == os.Geteuid()
}

// holder returns the process that listens at an abstract address. It does not
// block: a backlog that is full is an error.
func holder(name string) (*unix.Ucred, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return nil, err
	}
	return unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
}

// Close gives the port up.
func (p *Port) Close() error {
	if p.ln == nil {
		return nil
	}
	return p.ln.Close()
}
