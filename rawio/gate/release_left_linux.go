package gate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// releaseName is the program's name in bpf/gate.c, as far as the kernel keeps it.
const releaseName = "sock_release"

// watcher is a program that watches releases, of some engine.
type watcher struct {
	lasting
	watch watch
	slots ebpf.MapID
}

// mayOpen reports whether this process may open a program by its number.
func mayOpen(prog *ebpf.Program) bool {
	info, err := prog.Info()
	if err != nil {
		return false
	}
	id, _ := info.ID()
	again, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return false
	}
	again.Close()
	return true
}

// watchingPrograms calls f for each program that watches releases, wherever its engine is
// or was; f may keep it or must close it. Without cgroup2, or the privilege to open
// them, there are none.
func watchingPrograms(f func(watcher) error) error {
	root, err := openCgroupRoot()
	if err != nil {
		return nil
	}
	defer root.Close()
	all, err := link.QueryPrograms(link.QueryOptions{Target: int(root.Fd()), Attach: ebpf.AttachCgroupInetSockRelease})
	if err != nil {
		return nil
	}
	var errs []error
	for _, p := range all.Programs {
		prog, err := ebpf.NewProgramFromID(p.ID)
		if errors.Is(err, unix.EPERM) {
			return nil
		}
		if err != nil {
			continue // it is gone
		}
		l, err := leftProgram(p.ID, prog)
		if err != nil || l == nil {
			errs = append(errs, err)
			prog.Close()
			continue
		}
		errs = append(errs, f(*l))
	}
	return errors.Join(errs...)
}

// leftProgram is nil if it is another program.
func leftProgram(id ebpf.ProgramID, prog *ebpf.Program) (*watcher, error) {
	info, err := prog.Info()
	if err != nil {
		return nil, fmt.Errorf("gate: program %d: %w", id, err)
	}
	if info.Name != releaseName {
		return nil, nil
	}
	open := make(map[string]*ebpf.Map)
	defer func() { (&remains{maps: open}).close() }()
	if err := openMaps(id, open); err != nil {
		return nil, err
	}
	l := &watcher{lasting: lasting{prog}}
	slots, watches := open[bpfMapSlots], open[bpfMapWatches]
	if slots == nil || watches == nil || watches.Lookup(uint32(0), &l.watch) != nil {
		return nil, nil // another version's, or nobody's
	}
	of, err := slots.Info()
	if err != nil {
		return nil, fmt.Errorf("gate: map: %w", err)
	}
	l.slots, _ = of.ID()
	return l, nil
}

// adopt takes over the program that works on the same slots.
func (r *releases) adopt(slots *ebpf.Map) error {
	info, err := slots.Info()
	if err != nil {
		return fmt.Errorf("gate: map: %w", err)
	}
	id, _ := info.ID()
	return watchingPrograms(func(l watcher) error {
		if l.slots != id || r.old != nil {
			return l.prog.Close()
		}
		r.old = &l.lasting
		return nil
	})
}

// cleanReleases takes away the programs of engines that were in the calling
// thread's network namespace and do not live, and returns their IDs.
func cleanReleases(alive func(id string) bool) (ids []string, err error) {
	netns, err := netnsCookie()
	if err != nil {
		return nil, nil // nor could those have watched
	}
	err = watchingPrograms(func(l watcher) error {
		id := string(bytes.TrimRight(l.watch.ID[:], "\x00"))
		if l.watch.NetNS != netns || alive(id) {
			return l.prog.Close()
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return l.Close()
	})
	return ids, err
}
