package recovery

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/sockdiag"
)

// holder is a process that has a socket open.
type holder struct {
	pid  int
	name string // of its command
}

func (h holder) String() string { return fmt.Sprintf("process %d (%s)", h.pid, h.name) }

// holders finds the processes that have one of the sockets open, by the inodes
// in /proc/PID/fd. Those of other users are found by root only.
func holders(sockets []sockdiag.Listener) []holder {
	if len(sockets) == 0 {
		return nil
	}
	var list []holder
	for _, pid := range procfs.Processes() {
		if holds(pid, sockets) {
			list = append(list, holder{pid, procfs.Name(pid)})
		}
	}
	return list
}

// holds reports whether a process has one of the sockets open.
func holds(pid int, sockets []sockdiag.Listener) bool {
	return slices.ContainsFunc(procfs.Sockets(pid), func(n uint32) bool {
		return slices.ContainsFunc(sockets, func(l sockdiag.Listener) bool { return l.Inode == n })
	})
}

// holdsPort tells an orphan that listens on one of the service's ports: whatever
// it is, it must not outlive its service there.
func (s *Service) holdsPort(pid int) bool {
	sockets, err := sockdiag.Listeners(s.portList(nil))
	return err == nil && len(sockets) > 0 && holds(pid, sockets)
}

// PortTakenError is returned by Service.Run if another process listens on a port
// of an unmodified server before that is started.
type PortTakenError struct {
	Address string
	By      string // process, if it was found
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("the port of %s is taken: %s listens on it", e.Address, e.By)
}

// portPatience is how long a port may still be taken by a process that is
// ending, for instance one that was stopped just before.
const portPatience = time.Second

// free makes sure that nobody listens on the ports of an unmodified server that
// is about to be started: what listens there later is the server.
func (s *Service) free(ports []uint16) error {
	sockets, err := sockdiag.Listeners(ports)
	if err != nil || len(sockets) == 0 {
		return err
	}
	ends, err := sockdiag.WatchEnds()
	if err != nil {
		return err
	}
	defer ends.Close()
	ctx, cancel := context.WithTimeout(context.Background(), portPatience)
	defer cancel()
	for err = nil; ; err = ends.Wait(ctx) { // before the first wait one may have ended unseen
		sockets, lerr := sockdiag.Listeners(ports)
		if lerr != nil || len(sockets) == 0 {
			return lerr
		}
		if ctx.Err() != nil {
			return &PortTakenError{Address: sockets[0].Address.String(), By: describe(holders(sockets))}
		}
		if err != nil {
			return err
		}
	}
}

// describe names processes.
func describe(list []holder) string {
	if len(list) == 0 {
		return "a process that cannot be seen from here"
	}
	var names []string
	for _, h := range list[:min(len(list), 5)] {
		names = append(names, h.String())
	}
	if n := len(list) - len(names); n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, ", ")
}

// BackgroundError is returned by Service.Run if the main process of an
// unmodified server has exited with status 0 while others go on to listen: they
// have been ended. A server that runs in the background cannot be watched.
type BackgroundError struct {
	Command string
	PID     int // of the main process
	Address string
	By      string // processes that listen
}

func (e *BackgroundError) Error() string {
	return fmt.Sprintf("%s (process %d) went to the background: it exited with status 0 while %s still listens on %s; "+
		"run it in the foreground (nginx: -g 'daemon off;', redis-server: --daemonize no, sshd: -D)", e.Command, e.PID, e.By, e.Address)
}

// background returns an error if somebody listens on the service's ports after
// the end of its main process.
func (s *Service) background(pid int) error {
	sockets, err := sockdiag.Listeners(s.portList(nil))
	if err != nil {
		s.log.Warn("listening sockets not listed", "error", err)
	}
	list := holders(sockets)
	if len(list) == 0 {
		return nil // they have just ended, too
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &BackgroundError{Command: filepath.Base(s.cfg.Command[0]), PID: pid,
		Address: sockets[0].Address.String(), By: describe(list)}
}

// unlistedLooks are the times after a server has begun to serve at which its ports
// are looked at: many open those for administration last.
var unlistedLooks = []time.Duration{0, time.Second, 10 * time.Second}

// watchUnlisted tells of ports that the server listens on and that were not
// configured: their connections are not protected.
func (s *Service) watchUnlisted(ctx context.Context, pid int) {
	reported := map[netip.AddrPort]bool{}
	began := time.Now()
	for _, at := range unlistedLooks {
		select {
		case <-ctx.Done():
			return
		case <-time.After(at - time.Since(began)):
		}
		for address, member := range s.unlisted(pid) {
			if !reported[address] {
				reported[address] = true
				s.log.Warn("the server listens on a port that is not in its configuration and not protected",
					"port", address.Port(), "address", address, "pid", member)
			}
		}
	}
}

// unlisted returns the addresses at other ports than the service's at which the
// server listens, and with which process.
func (s *Service) unlisted(pid int) map[netip.AddrPort]int {
	sockets, err := sockdiag.Listeners(nil)
	if err != nil {
		return nil // said where it matters
	}
	own := s.portList(nil)
	found := map[netip.AddrPort]int{}
	for _, member := range procfs.Family(pid) {
		inodes := procfs.Sockets(member)
		for _, l := range sockets {
			if !slices.Contains(own, l.Address.Port()) && slices.Contains(inodes, l.Inode) {
				found[l.Address] = member
			}
		}
	}
	return found
}
