package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// releases has the kernel say when a process lets go of a connection of an
// unmodified server.
type releases struct {
	netns uint64 // cookie of the network namespace; 0: the kernel gives none

	mu     sync.Mutex
	at     *linked // the program; nil: not watching. Guarded by mu, as are
	old    *linked // an adopted gate's program, until there is one
	lost   bool    // the program was taken away, and could not be attached again
	closed bool
}

func (r *releases) open() { r.netns, _ = netnsCookie() }

func (r *releases) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var errs []error
	if r.at != nil {
		errs = append(errs, r.at.Close())
		r.at = nil
	}
	if r.old != nil {
		errs = append(errs, r.old.Close())
		r.old = nil
	}
	return errors.Join(errs...)
}

// abandon has the program stay where it is, if it can.
func (r *releases) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range []**linked{&r.at, &r.old} {
		if *p != nil {
			(*p).leave()
			*p = nil
		}
	}
}

// WatchReleases makes the gate see how each connection of an unmodified service
// ends, until Close: Slot.Released says it before the kernel has made the FIN or
// RST. Without it every FIN and RST of FlagUnmodified counts as meant. Calling it
// again is no error.
//
// It attaches a program to the root of the cgroup hierarchy, which runs whenever a
// process on this host releases a socket and ends at once unless the socket is a
// service's in the gate's network namespace. A socket that several processes hold
// is released by the last. One that is released by the kernel on behalf of a
// process that is gone (io_uring) counts as released by a crash. If the gate is
// pinned, the program goes on when this process is killed, as the filters do: see
// [RemoveStale]. Otherwise every FIN then counts as meant.
//
// It returns an error that satisfies errors.Is(err, gate.ErrNotSupported), and says
// what to do, if the kernel lacks type information (BTF), network namespace
// cookies (Linux 5.14) or cgroup2, or the process a privilege (CAP_BPF,
// CAP_PERFMON, CAP_NET_ADMIN).
func (g *Gate) WatchReleases() error {
	r := &g.releases
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return net.ErrClosed
	case r.at != nil:
		return nil
	case r.netns == 0:
		_, err := netnsCookie()
		return needs("network namespace cookies", "Linux 5.14 or newer", err)
	}
	prog, err := g.loadRelease()
	if err != nil {
		return err
	}
	defer prog.Close() // its link holds it
	if r.old != nil {
		if err := r.old.replace(prog); err != nil {
			return needs(unifiedHierarchy, "Linux 5.9 or newer with CONFIG_CGROUP_BPF", err)
		}
		r.at, r.old = r.old, nil
		return nil
	}
	if r.at, err = attachToCgroups(prog, g.pins); err == nil {
		r.lost = false
	}
	return err
}

// adopt takes over the program that the pins hold, if there is one.
func (r *releases) adopt(p *pins) error {
	l, err := link.LoadPinnedLink(p.at(releasePin), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unsupported("the pin "+releasePin, err)
	}
	r.old = &linked{Link: l, pin: true}
	return nil
}

// MendReleases looks whether the program that WatchReleases has attached is there, and
// attaches it again if somebody has taken it away. What it found is in was, which
// satisfies errors.Is with gate.ErrUnwatched; nil: all is well, or nobody watches releases. An
// error in err says that it could not be attached: calling it again tries again.
func (g *Gate) MendReleases() (was, err error) {
	r := &g.releases
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, net.ErrClosed
	case r.at == nil && !r.lost:
		return nil, nil
	case r.at != nil:
		there, err := r.at.there()
		if there || err != nil {
			return nil, err
		}
		if g.pins != nil {
			_ = g.pins.unpin(releasePin) // of what is nowhere any more
		}
		_ = r.at.Close() // there is nothing to take away
		r.at, r.lost = nil, true
	}
	prog, err := g.loadRelease()
	if err != nil {
		return gate.ErrUnwatched, err
	}
	defer prog.Close() // its link holds it
	if r.at, err = attachToCgroups(prog, g.pins); err == nil {
		r.lost = false
	}
	return gate.ErrUnwatched, err
}

func (g *Gate) loadRelease() (*ebpf.Program, error) {
	layout, err := kernelLayout()
	if err != nil {
		return nil, needs("kernel type information", "a kernel with CONFIG_DEBUG_INFO_BTF", err)
	}
	layout.NetNS = g.releases.netns
	if err := g.objs.Watches.Put(uint32(0), layout); err != nil {
		return nil, fmt.Errorf("gate: watch releases: %w", err)
	}
	spec, err := g.config.spec()
	if err != nil {
		return nil, err
	}
	opts := ebpf.CollectionOptions{MapReplacements: g.objs.mapsByName()}
	var release struct {
		Prog *ebpf.Program `ebpf:"sock_release"`
	}
	if err := spec.LoadAndAssign(&release, &opts); err != nil {
		return nil, unsupported("BPF program for released sockets", err)
	}
	return release.Prog, nil
}

// netnsCookie returns the cookie of the calling thread's network namespace.
func netnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err == nil && cookie == 0 {
		err = errors.New("the cookie is 0")
	}
	return cookie, err
}
