package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// errNoPins: the engine's gate has no pins.
var errNoPins = errors.New("gate: the engine has left no pins")

// findPinned finds filters and maps of an engine by its pins. Those are the ones
// with the program of one of its filters: an engine that died while it adopted the
// gate has left filters under both names, and the pins under either.
func findPinned(bpffs, id string, all []placed) (*remains, error) {
	root, err := openPinRoot(bpffs, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoPins
	}
	if err != nil {
		return nil, err
	}
	defer root.unlock()
	netns, err := netnsInode()
	if err != nil {
		return nil, err
	}
	names, err := root.dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("gate: pins: %w", err)
	}
	var errs []error
	for _, name := range names {
		if !strings.HasPrefix(name, netns+"-") {
			continue
		}
		own := name == netns+"-"+id
		open := root.open
		if own {
			open = root.openDying
		}
		r, err := root.remains(name, id, all, open)
		if err == nil && r != nil {
			return r, nil
		}
		if own || !errors.Is(err, errPinned) { // others live, and are not the one
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return nil, errNoPins
}

// dying is for how long the process of an engine that was killed, or a child that it
// was about to start, may hold the lock yet.
const dying = time.Second

// openDying is open for pins of an engine that is known to be dead, or about to be.
func (r *pinRoot) openDying(name string) (*pins, error) {
	for start := time.Now(); ; time.Sleep(time.Millisecond) { // nothing tells of a lock that is given up
		p, err := r.open(name)
		if !errors.Is(err, errPinned) || time.Since(start) > dying {
			return p, err
		}
	}
}

// remains returns nil if the pins are of another gate than the engine's.
func (r *pinRoot) remains(name, id string, all []placed, open func(string) (*pins, error)) (*remains, error) {
	p, err := open(name)
	if err != nil {
		return nil, err
	}
	left := &remains{pins: p, maps: make(map[string]*ebpf.Map)}
	if left.programs, err = p.programs(); err == nil {
		left.links, err = p.links()
	}
	if err == nil {
		its := len(left.links) > 0 && strings.HasSuffix(name, "-"+id) // there may be no filter
		for _, f := range all {
			if left.programs[ebpf.ProgramID(f.Id)] {
				left.filters = append(left.filters, f)
				its = its || f.id == id
			}
		}
		if its {
			if err = left.openPinned(); err == nil {
				return left, nil
			}
		}
	}
	left.close()
	return nil, err
}

// openPinned opens the maps, which must be those of this package.
func (r *remains) openPinned() error {
	names, err := r.pins.list()
	if err != nil {
		return fmt.Errorf("gate: pins: %w", err)
	}
	for _, name := range names {
		if name == witnessPin || name == releasePin || strings.HasPrefix(name, programPin) || strings.HasPrefix(name, tcxPinPrefix) {
			continue
		}
		m, err := ebpf.LoadPinnedMap(r.pins.at(name), nil)
		if err != nil {
			return unsupported("the pin "+r.pins.path()+"/"+name, err)
		}
		r.maps[name] = m
	}
	return r.check()
}
