package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/gate/bpf"
)

// mayOpenAll is the privilege to open a program or map by its number.
const mayOpenAll = "CAP_SYS_ADMIN"

// remains is what a dead engine has left in the kernel.
type remains struct {
	filters  []placed
	maps     map[string]*ebpf.Map
	pins     *pins                   // nil: it was found by numbers
	programs map[ebpf.ProgramID]bool // that are pinned
	links    map[int]*attachment     // by tcx, that are pinned
}

func (r *remains) close() {
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

// findGate finds the filters and maps of an engine: by its pins, or, for the reason
// passed, without them.
func findGate(bpffs, id string) (left *remains, passed, err error) {
	all, err := gateFilters()
	if err != nil {
		return nil, nil, err
	}
	if left, passed = findPinned(bpffs, id, all); passed == nil {
		return left, nil, nil
	}
	left, err = findNumbered(id, all)
	if err != nil && !errors.Is(passed, gate.ErrNoBPFFS) && !errors.Is(passed, errNoPins) {
		err = fmt.Errorf("%w; by its pins: %w", err, passed)
	}
	return left, passed, err
}

// findNumbered finds them by the numbers that filters give of their programs, and
// programs of their maps. It goes by the map of slots: an engine that died while it
// adopted this gate has left filters under both names.
func findNumbered(id string, all []placed) (*remains, error) {
	var err error
	r := &remains{maps: make(map[string]*ebpf.Map)}
	for _, f := range all {
		if f.id == id && err == nil {
			err = openMaps(ebpf.ProgramID(f.Id), r.maps)
		}
	}
	if err == nil && r.maps[bpf.GateMapSlots] == nil {
		err = fmt.Errorf("%w: %s", gate.ErrNoGate, id)
	}
	for _, f := range all {
		if err == nil {
			err = r.add(f)
		}
	}
	if err == nil {
		err = r.check()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// add adds a filter, and its maps, if it works on the same slots.
func (r *remains) add(f placed) error {
	info, err := r.maps[bpf.GateMapSlots].Info()
	if err != nil {
		return fmt.Errorf("gate: map: %w", err)
	}
	slots, _ := info.ID()
	ids, err := mapIDs(ebpf.ProgramID(f.Id))
	if err != nil || !slices.Contains(ids, slots) {
		return err
	}
	r.filters = append(r.filters, f)
	return openMaps(ebpf.ProgramID(f.Id), r.maps)
}

// check compares the maps' layout with that of this package.
func (r *remains) check() error {
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

// mapIDs returns the maps of a program; none if the program is gone.
func mapIDs(id ebpf.ProgramID) ([]ebpf.MapID, error) {
	p, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, needs("another engine's BPF programs", mayOpenAll, err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return nil, fmt.Errorf("gate: program %d: %w", id, err)
	}
	ids, _ := info.MapIDs()
	return ids, nil
}

// openMaps adds a program's maps to those that are open, by their names.
func openMaps(id ebpf.ProgramID, open map[string]*ebpf.Map) error {
	ids, err := mapIDs(id)
	if err != nil {
		return err
	}
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return needs("another engine's BPF maps", mayOpenAll, err)
		}
		info, err := m.Info()
		if err != nil {
			m.Close()
			return fmt.Errorf("gate: map %d: %w", id, err)
		}
		if open[info.Name] != nil {
			m.Close()
			continue
		}
		open[info.Name] = m
	}
	return nil
}
