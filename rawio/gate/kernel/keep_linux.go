package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/ftnet/ftnet/rawio/gate"
)

// MendReleases looks whether the program that WatchReleases has attached is there, and
// attaches it again if somebody has taken it away. What it found is in was, which
// satisfies errors.Is with ErrUnwatched; nil: all is well, or nobody watches releases. An
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
	defer prog.Close() // its place holds it
	if r.at, err = attachToCgroups(prog, g.pins); err == nil {
		r.lost = false
	}
	return gate.ErrUnwatched, err
}

// there reports whether the link is attached and has its program.
func (l *linked) there() (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("gate: link of the %s: %w", unifiedHierarchy, err)
	}
	cgroup := info.Cgroup()
	return cgroup != nil && cgroup.CgroupId != 0 && info.Program == l.prog, nil
}

func (l *lasting) there() (bool, error) {
	id, err := programID(l.prog)
	if err != nil {
		return false, err
	}
	root, err := cgroupRoot()
	if err != nil {
		return false, err
	}
	defer root.Close()
	all, err := link.QueryPrograms(link.QueryOptions{Target: int(root.Fd()), Attach: ebpf.AttachCgroupInetSockRelease})
	if err != nil {
		return false, fmt.Errorf("gate: programs at the %s: %w", unifiedHierarchy, err)
	}
	return slices.ContainsFunc(all.Programs, func(p link.AttachedProgram) bool { return p.ID == id }), nil
}

// pinnable is a map, a program or a link.
type pinnable interface {
	Pin(path string) error
	Unpin() error
}

// MendPins looks whether the gate's pins are there, and makes those that are missing.
// What it found is in was, which satisfies errors.Is with ErrUnpinned; nil: all is well,
// or the gate was not pinned. An error in err says that they could not be made.
func (g *Gate) MendPins() (was, err error) {
	g.releases.mu.Lock()
	defer g.releases.mu.Unlock()
	g.filters.mu.Lock()
	defer g.filters.mu.Unlock()
	if g.releases.closed || g.filters.nl == nil {
		return nil, net.ErrClosed
	}
	if g.pins == nil {
		return nil, nil
	}
	all, err := g.pinnables()
	if err != nil {
		return nil, err
	}
	if !g.pins.inPlace() {
		was = fmt.Errorf("%w: %s", gate.ErrUnpinned, g.pins.path())
		if err := g.pinAnew(); err != nil {
			return was, err
		}
	}
	names, err := g.pins.list()
	if err != nil {
		return was, fmt.Errorf("gate: pins: %w", err)
	}
	for name, p := range all {
		if slices.Contains(names, name) {
			continue
		}
		if was == nil {
			was = fmt.Errorf("%w: %s", gate.ErrUnpinned, filepath.Join(g.pins.path(), name))
		}
		_ = p.Unpin() // it believes that it is pinned
		if err := p.Pin(g.pins.at(name)); err != nil {
			return was, fmt.Errorf("gate: pin %s: %w", name, err)
		}
	}
	if !slices.Contains(names, witnessPin) {
		if was == nil {
			was = fmt.Errorf("%w: %s", gate.ErrUnpinned, filepath.Join(g.pins.path(), witnessPin))
		}
		return was, g.pins.addWitness()
	}
	return was, nil
}

// pinnables are what the gate pins, by name, but for the witness.
func (g *Gate) pinnables() (map[string]pinnable, error) {
	all := make(map[string]pinnable)
	for name, m := range g.objs.mapsByName() {
		all[name] = m
	}
	for _, p := range g.objs.programs.filtering() {
		id, err := programID(p)
		if err != nil {
			return nil, err
		}
		all[programName(id)] = p
	}
	for ifindex, a := range g.filters.attached {
		for i, l := range a.links {
			if l != nil {
				all[tcxPin(ifindex, i)] = l
			}
		}
	}
	if l, ok := g.releases.at.(*linked); ok && l.pin {
		all[releasePin] = l.Link
	}
	return all, nil
}

// inPlace reports whether the directory is where the next engine looks for it.
func (p *pins) inPlace() bool {
	own, err := p.dir.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(p.path())
	return err == nil && os.SameFile(own, now)
}

// pinAnew makes a directory in place of one that somebody has removed.
func (g *Gate) pinAnew() error {
	r, err := openPinRoot(g.config.BPFFS, true)
	if err != nil {
		return err
	}
	defer r.unlock()
	p, err := r.create(g.pins.name)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", gate.ErrPins, err)
	}
	if err != nil {
		return err
	}
	g.pins.leave()
	g.pins = p
	return nil
}
