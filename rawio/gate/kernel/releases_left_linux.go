package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate/bpf"
)

// releaseName is the program's name in bpf/gate.c, as far as the kernel keeps it.
const releaseName = "sock_release"

// watcher is a program that watches releases, of some engine.
type watcher struct {
	lasting
	engine string
	netns  uint64
	beat   uint64
	slots  ebpf.MapID
}

// forsaken is after what time without a sign of life an engine is dead whose
// network namespace this is not: it may be in one that is no more.
const forsaken = int64(time.Hour)

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
	slots, watches, engine := open[bpf.GateMapSlots], open[bpf.GateMapWatches], open[bpf.GateMapEngine]
	if slots == nil || watches == nil || engine == nil {
		return nil, nil // another version's
	}
	var w watch
	if err := watches.Lookup(uint32(0), &w); err != nil {
		return nil, nil
	}
	record, memory, err := mapEngine(engine)
	if err != nil {
		return nil, fmt.Errorf("gate: map: %w", err)
	}
	defer func() { _ = unix.Munmap(memory) }() // it is mapped
	of, err := slots.Info()
	if err != nil {
		return nil, fmt.Errorf("gate: map: %w", err)
	}
	l := &watcher{lasting: lasting{prog}, engine: string(record.id[:]), netns: w.NetNS, beat: record.beat.Load()}
	l.slots, _ = of.ID()
	return l, nil
}

// adopt takes over the program that works on the same slots.
func (r *releases) adopt(left *remains) error {
	if left.pins != nil {
		l, err := link.LoadPinnedLink(left.pins.at(releasePin), nil)
		if err == nil {
			r.old = &linked{Link: l, pin: true}
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return unsupported("the pin "+releasePin, err)
		}
	}
	info, err := left.maps[bpf.GateMapSlots].Info()
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

// cleanReleases takes away the programs of engines that do not live, and returns
// their IDs. alive knows those of the calling thread's network namespace.
func cleanReleases(alive func(id string) bool) (ids []string, err error) {
	netns, err := netnsCookie()
	if err != nil {
		return nil, nil // nor could those have watched
	}
	now, err := monotonic()
	if err != nil {
		return nil, err
	}
	err = watchingPrograms(func(l watcher) error {
		if l.netns == netns && alive(l.engine) || l.netns != netns && int64(now-l.beat) < forsaken {
			return l.prog.Close()
		}
		found, err := l.detach()
		if found && !slices.Contains(ids, l.engine) {
			ids = append(ids, l.engine)
		}
		return err
	})
	return ids, err
}
