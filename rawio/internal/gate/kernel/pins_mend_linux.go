package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// pinnable is a map, a program or a link.
type pinnable interface {
	Pin(path string) error
	Unpin() error
}

// MendPins looks whether the gate's pins are there, and makes those that are missing.
// What it found is in was, which satisfies errors.Is with gate.ErrUnpinned; nil: all is well,
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
	for _, p := range g.filters.progs.all() {
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
	if l := g.releases.at; l != nil && l.pin {
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
