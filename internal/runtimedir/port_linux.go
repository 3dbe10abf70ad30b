package runtimedir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/ownership"
)

// ErrPortTaken is what the error of [Ports] is when another engine protects the port.
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

// Ports is the ownership of the calling thread's network namespace, which it asks as [Lives]
// does: each port is one engine's. Two engines that judged the same packets would break each
// other's connections. Claims do not wait, and are not lost while their process lives. Of a
// name that is held by somebody who is neither root nor the engine's user nothing is believed;
// the port is the caller's then, too. Epochs are times, and so greater with each claim until
// the host is started again.
type Ports struct{}

var _ ownership.Ownership = Ports{}

// Claim claims s.Port. The error is a [PortTakenError], or says that the namespace refuses.
func (Ports) Claim(_ context.Context, s ownership.Service) (ownership.Claim, error) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: portName(s.Port), Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) && PortTaken(s.Port) {
		return nil, &PortTakenError{PID: holderPID(s.Port)}
	}
	if err != nil && !errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("claim port %d: %w", s.Port, err)
	}
	p := &port{ln: ln}
	if p.epoch, err = now(); err != nil { // after the name was had: the one before took the time earlier
		return nil, errors.Join(err, p.Release())
	}
	return p, nil
}

// now is the time since the host was started, suspensions included, in ns.
func now() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("clock: %w", err)
	}
	return uint64(ts.Nano()), nil
}

// port is a claim of Ports.
type port struct {
	ln    *net.UnixListener // nil: somebody else's name
	epoch uint64
}

func (p *port) Epoch() uint64       { return p.epoch }
func (*port) Lost() <-chan struct{} { return nil }
func (*port) Err() error            { return nil }

func (p *port) Release() error {
	if p.ln == nil {
		return nil
	}
	if err := p.ln.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func portName(port uint16) string { return fmt.Sprintf("@ftnet/port/%d", port) }

// PortTaken reports whether the port is an engine's, so that [Ports] would refuse it. It
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
