package kernel

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// releases has the kernel say when a process lets go of a connection of an
// unmodified server.
type releases struct {
	netns uint64 // cookie of the network namespace; 0: the kernel gives none

	mu     sync.Mutex
	at     place // of the program; nil: not watching. Guarded by mu, as are
	old    place // of an adopted gate's program, until there is one
	lost   bool  // the program was taken away, and could not be attached again
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
	for _, p := range []*place{&r.at, &r.old} {
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
// [CleanPins]; also if this process may open all programs (CAP_SYS_ADMIN): see
// [CleanStale]. Otherwise every FIN then counts as meant.
//
// It returns an error that satisfies errors.Is(err, ErrNotSupported), and says
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
	defer prog.Close() // its place holds it
	if r.old != nil && (r.old.pinned() || g.pins == nil) {
		if err := r.old.replace(prog); err != nil {
			return needs(unifiedHierarchy, "Linux 5.9 or newer with CONFIG_CGROUP_BPF", err)
		}
		r.at, r.old = r.old, nil
		return nil
	}
	if r.at, err = attachToCgroups(prog, g.pins); err != nil {
		return err
	}
	if r.lost = false; r.old == nil {
		return nil
	}
	err = r.old.Close() // only now: both have judged the same for a moment
	r.old = nil
	return err
}

// watch is struct watch in bpf/maps.h.
type watch struct {
	NetNS                 uint64
	Flags, ExitCode, TGID uint32

	SockFlags, SockOwned, SockSocket uint32

	PIDNS, Signal, GroupFlags, GroupExitCode, Process, Level, Numbers, Inum uint32
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
	// Who finds the program can so tell whose it is.
	if err := release.Prog.BindMap(g.objs.Engine); err != nil {
		release.Prog.Close()
		return nil, unsupported("maps bound to BPF programs", err)
	}
	return release.Prog, nil
}

// offset is where a struct of the kernel has a member, or a member of that.
type offset struct {
	of   string
	path []string
	at   *uint32
}

// kernelLayout finds out where the running kernel keeps what the gate reads of tasks
// and sockets.
func kernelLayout() (w watch, err error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return w, err
	}
	if err := findOffsets(spec,
		offset{"task_struct", []string{"flags"}, &w.Flags},
		offset{"task_struct", []string{"exit_code"}, &w.ExitCode},
		offset{"task_struct", []string{"tgid"}, &w.TGID},
		offset{"task_struct", []string{"signal"}, &w.Signal},
		offset{"signal_struct", []string{"flags"}, &w.GroupFlags},
		offset{"signal_struct", []string{"group_exit_code"}, &w.GroupExitCode},
		offset{"sock", []string{"__sk_common", "skc_flags"}, &w.SockFlags},
		offset{"sock", []string{"sk_lock", "owned"}, &w.SockOwned},
		offset{"sock", []string{"sk_socket"}, &w.SockSocket},
	); err != nil {
		return w, err
	}
	if findOffsets(spec,
		offset{"signal_struct", []string{"pids"}, &w.Process},
		offset{"pid", []string{"level"}, &w.Level},
		offset{"pid", []string{"numbers"}, &w.Numbers},
		offset{"pid_namespace", []string{"ns", "inum"}, &w.Inum},
	) == nil {
		const tgid = 1 // PIDTYPE_TGID
		w.Process += tgid * uint32(unsafe.Sizeof(uintptr(0)))
		w.PIDNS = pidNamespace()
	}
	return w, nil
}

// pidNamespace returns the inode of this process's PID namespace; 0: it is not known, as
// where /proc is another one's.
func pidNamespace() uint32 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return 0
	}
	return uint32(st.Ino)
}

func findOffsets(spec *btf.Spec, list ...offset) error {
	for _, f := range list {
		var in *btf.Struct
		if err := spec.TypeByName(f.of, &in); err != nil {
			return err
		}
		at, err := pathOffset(in, f.path)
		if err != nil {
			return fmt.Errorf("%s: %w", f.of, err)
		}
		*f.at = uint32(at.Bytes())
	}
	return nil
}

// pathOffset looks for a member, and members of that.
func pathOffset(in *btf.Struct, path []string) (at btf.Bits, err error) {
	for i, name := range path {
		m, base, ok := findMember(in.Members, name)
		if !ok {
			return 0, fmt.Errorf("there is no member %s", name)
		}
		at += base + m.Offset
		if i == len(path)-1 {
			break
		}
		if in, ok = btf.UnderlyingType(m.Type).(*btf.Struct); !ok {
			return 0, fmt.Errorf("the member %s is no struct", name)
		}
	}
	return at, nil
}

// findMember looks for a member, also in anonymous structs and unions, and returns where
// that is in which it lies: a kernel with randomized layout has one around most of the task.
func findMember(members []btf.Member, name string) (found btf.Member, base btf.Bits, ok bool) {
	for _, m := range members {
		if m.Name == name {
			return m, 0, true
		}
		if m.Name != "" {
			continue
		}
		var inner []btf.Member
		switch t := btf.UnderlyingType(m.Type).(type) {
		case *btf.Struct:
			inner = t.Members
		case *btf.Union:
			inner = t.Members
		}
		if found, base, ok = findMember(inner, name); ok {
			return found, m.Offset + base, true
		}
	}
	return found, 0, false
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
