package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

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
		r, err := root.remains(name, id, all)
		if err == nil && r != nil {
			return r, nil
		}
		if !errors.Is(err, errPinned) { // that one is not dead, so not the one
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return nil, errNoPins
}

// remains returns nil if the pins are of another gate than the engine's.
func (r *pinRoot) remains(name, id string, all []placed) (*remains, error) {
	p, err := r.open(name)
	if err != nil {
		return nil, err
	}
	left := &remains{pins: p, maps: make(map[string]*ebpf.Map)}
	if left.programs, err = p.programs(); err == nil {
		its := false
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
		if name == witnessPin || name == releasePin || strings.HasPrefix(name, programPin) {
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
