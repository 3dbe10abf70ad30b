package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/bpf"
)

// pinnedGate is what a dead engine has left in the kernel, found by its pins.
type pinnedGate struct {
	pins     *pins
	filters  []placed // those with one of programs
	maps     map[string]*ebpf.Map
	programs map[ebpf.ProgramID]bool // that are pinned
	links    map[int]*attachment     // by tcx, that are pinned
}

func (r *pinnedGate) close() {
	if r.pins != nil {
		r.pins.leave()
	}
	for _, m := range r.maps {
		m.Close()
	}
	for _, a := range r.links {
		a.close()
	}
}

// findGate finds the gate of an engine in the calling thread's network namespace.
func findGate(bpffs, id string) (*pinnedGate, error) {
	root, err := openPinRoot(bpffs, false)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: engine %s has left no pins", gate.ErrNoGate, id)
	}
	if err != nil {
		return nil, err
	}
	defer root.unlock()
	name, err := pinsName(id)
	if err != nil {
		return nil, err
	}
	p, err := root.openDying(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: engine %s has left no pins", gate.ErrNoGate, id)
	}
	if err != nil {
		return nil, err
	}
	r := &pinnedGate{pins: p, maps: make(map[string]*ebpf.Map)}
	if err := r.open(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
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

// open finds what the pins lead to. Pins that lead to nothing on any interface are no gate:
// packets have passed it.
func (r *pinnedGate) open() (err error) {
	if r.programs, err = r.pins.programs(); err != nil {
		return err
	}
	if r.links, err = r.pins.links(); err != nil {
		return err
	}
	all, err := gateFilters()
	if err != nil {
		return err
	}
	for _, f := range all {
		if r.programs[ebpf.ProgramID(f.Id)] {
			r.filters = append(r.filters, f)
		}
	}
	if len(r.filters) == 0 && len(r.links) == 0 {
		return fmt.Errorf("%w: the pins %s are those of no filter", gate.ErrNoGate, r.pins.path())
	}
	return r.openMaps()
}

// openMaps opens the maps, which must be those of this package.
func (r *pinnedGate) openMaps() error {
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

// check compares the maps' layout with that of this package.
func (r *pinnedGate) check() error {
	spec, err := bpf.LoadGate()
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	for name := range r.maps {
		if spec.Maps[name] == nil {
			return fmt.Errorf("%w: it has a map %s", gate.ErrLayout, name)
		}
	}
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(spec.Maps)), func(name string) bool {
		return r.maps[name] != nil || name == bpf.GateMapFragmenting // each tap has its own
	}); len(missing) > 0 {
		return fmt.Errorf("%w: it has no map %s", gate.ErrLayout, missing[0])
	}
	record, err := r.maps[bpf.GateMapEngine].LookupBytes(uint32(0))
	if err != nil {
		return fmt.Errorf("gate: layout: %w", err)
	}
	if len(record) < 4 {
		return gate.ErrLayout
	}
	if got := binary.NativeEndian.Uint32(record); got != bpf.Layout {
		return fmt.Errorf("%w: %d, not %d", gate.ErrLayout, got, bpf.Layout)
	}
	return nil
}
