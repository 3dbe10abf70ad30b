package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/caps"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// needsForAll is what most features need.
const needsForAll = "Linux 5.12 or newer with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_ACT"

// unsupported wraps err as a feature that is missing if that is what it means.
func unsupported(feature string, err error) error {
	for _, sign := range []error{
		ebpf.ErrNotSupported, unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EOPNOTSUPP, unix.ENOENT,
	} {
		if errors.Is(err, sign) {
			return needs(feature, needsForAll, err)
		}
	}
	return fmt.Errorf("gate: %s: %w", feature, err)
}

// needs is the error of a feature that is there only if what it needs is.
func needs(feature, what string, err error) error {
	remedy := "needs " + what
	if errors.Is(err, fs.ErrPermission) {
		remedy = caps.Advice(caps.BPF, caps.Perfmon, caps.NetAdmin)
	}
	return &gate.UnsupportedFeatureError{Name: feature, Remedy: remedy, Err: err}
}

// Features tries everything that the gate needs and returns the results in the
// order of dependence. What changes interfaces is tried in a network namespace
// made for it; nothing remains. To make one takes CAP_SYS_ADMIN, which the engine does
// not need: without it that is left out.
func Features() []Feature {
	return try([]probe{
		{"BPF traffic-control programs", func() error { return features.HaveProgramType(ebpf.SchedCLS) }},
		{"BPF socket filters", func() error { return features.HaveProgramType(ebpf.SocketFilter) }},
		{"BPF ring buffer", func() error { return features.HaveMapType(ebpf.RingBuf) }},
		{"memory-mapped BPF arrays", tryMmapable},
		{"gate programs", tryLoad},
		{"clsact", tryAttach},
	})
}

// ReleaseFeatures tries, in the same way, what WatchReleases needs: services with
// servers that know nothing of the gate need it, others do not.
func ReleaseFeatures() []Feature {
	return try([]probe{
		{"kernel type information", func() error { _, err := kernelLayout(); return err }},
		{"network namespace cookies", func() error { _, err := netnsCookie(); return err }},
		{"cgroup2", func() error {
			root, err := cgroupRoot()
			if err == nil {
				root.Close()
			}
			return err
		}},
		{"BPF at the release of sockets", tryWatch},
	})
}

type probe struct {
	name string
	try  func() error
}

func try(probes []probe) []Feature {
	var all []Feature
	for _, p := range probes {
		f := Feature{Name: p.name, Err: p.try()}
		if u := (*untried)(nil); errors.As(f.Err, &u) {
			f.Err, f.Untried = nil, u
		}
		if f.Err != nil && !errors.Is(f.Err, gate.ErrNotSupported) {
			f.Err = needs(p.name, needsForAll, f.Err)
		}
		all = append(all, f)
	}
	return all
}

func tryMmapable() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Array, KeySize: 4, ValueSize: gate.SlotSize, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	mem, err := mapSlots(m, 1)
	if err != nil {
		return err
	}
	return unix.Munmap(mem)
}

func tryLoad() error {
	g, err := Load(Config{MaxConns: 1, ID: "00000000"})
	if err != nil {
		return err
	}
	return g.Close()
}

func tryWatch() error {
	g, err := Load(Config{MaxConns: 1, ID: "00000000"})
	if err != nil {
		return err
	}
	defer g.Close()
	return g.WatchReleases()
}

// untried says why something was not tried.
type untried struct{ err error }

func (e *untried) Error() string { return fmt.Sprintf("a network namespace to try it in: %v", e.err) }
func (e *untried) Unwrap() error { return e.err }

// tryAttach attaches the gate to the loopback interface of a new network
// namespace.
func tryAttach() error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread, and the namespace with it, ends here.
		runtime.LockOSThread()
		result <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); errors.Is(err, unix.EPERM) {
				return &untried{err}
			} else if err != nil {
				return err
			}
			g, err := Load(Config{MaxConns: 1, ID: "00000000"})
			if err != nil {
				return err
			}
			defer g.Close()
			const lo = 1
			return g.Attach(lo)
		}()
	}()
	return <-result
}
