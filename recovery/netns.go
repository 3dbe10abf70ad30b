package recovery

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/procfs"
)

// NamespaceError is returned by Service.Run if the server listens in another network
// namespace than the engine's, where no packet of it would be seen.
type NamespaceError struct {
	Process      string
	Address      string
	Theirs, Ours string
}

func (e *NamespaceError) Error() string {
	return fmt.Sprintf("%s listens at %s in the network namespace %s, but ftnet works in %s: run ftnet itself there",
		e.Process, e.Address, e.Theirs, e.Ours)
}

// namespacePeriod is how often it is looked whether an unmodified server that does
// not listen here does so elsewhere.
const namespacePeriod = 100 * time.Millisecond

// home is the network namespace that an engine works in.
type home struct {
	procfs.Netns
	cookie uint64 // 0: not known
}

// here is the calling thread's.
func here() (home, error) {
	ns, err := procfs.NetnsOf(0)
	return home{ns, netnsCookie()}, err
}

// elsewhere returns an error if a process of an unmodified server listens on one of
// the ports in another network namespace.
func (h home) elsewhere(pid int, ports []uint16) error {
	for _, member := range procfs.Family(pid) {
		theirs, err := procfs.NetnsOf(member)
		if err != nil || theirs == h.Netns {
			continue
		}
		sockets := procfs.Sockets(member)
		for _, l := range procfs.TCPListeners(member) {
			if slices.Contains(ports, l.Port) && slices.Contains(sockets, l.Inode) {
				return &NamespaceError{Process: holder{member, procfs.Name(member)}.String(),
					Address: net.JoinHostPort("", strconv.Itoa(int(l.Port))), Theirs: theirs.String(), Ours: h.String()}
			}
		}
	}
	return nil
}

// foreign returns an error if a process that asks for protection has its socket in
// another network namespace.
func (h home) foreign(p *control.Peer, m control.Protect) error {
	e := &NamespaceError{Process: "the server", Address: m.Address, Theirs: fmt.Sprintf("with cookie %d", m.Netns), Ours: h.String()}
	theirs, seen := procfs.Netns{}, false
	if pid := p.Cred.PID; pid != 0 {
		e.Process = holder{pid, procfs.Name(pid)}.String()
		ns, err := procfs.NetnsOf(pid)
		theirs, seen = ns, err == nil
	}
	away := seen && theirs != h.Netns
	if m.Netns != 0 && h.cookie != 0 { // the socket's is exact: a thread may have its own
		if m.Netns == h.cookie {
			return nil
		}
	} else if !away {
		return nil
	}
	if away {
		e.Theirs = theirs.String()
	}
	return e
}

// netnsCookie returns the cookie of the calling thread's network namespace, 0 where the
// kernel has none (before Linux 5.14).
func netnsCookie() uint64 {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0
	}
	return cookie
}

// fail ends the service: it cannot be protected as it is started.
func (s *Service) fail(ctx context.Context, why error) {
	s.log.Error("the service is ended", "reason", why)
	s.endProcess(ctx, why)
}

// endProcess ends the process for good; why is what Run returns.
func (s *Service) endProcess(ctx context.Context, why error) {
	s.mu.Lock()
	sup := s.sup
	s.mu.Unlock()
	if sup == nil {
		return
	}
	if err := sup.Fail(ctx, why); err != nil {
		s.log.Debug("the process was not ended", "error", err) // it has ended meanwhile
	}
}
