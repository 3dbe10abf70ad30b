package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/bpf"
)

// Adopt takes over the gate of the engine with the ID config.ID, which has been killed: its
// maps, with all that is bound, held and not yet read, and its place on the
// interfaces of the calling thread's network namespace. At no time does a packet
// pass unjudged: each filter's program is exchanged in one step, for one that works
// on the same maps. Until then the old one judges. MaxConns and OutputBuffer are
// those of the old gate, whatever config says; DeadAfter is config's.
//
// The caller must know that the engine is dead, and goes on as it did: readers of
// events and outputs begin with what it has not read (what it was reading may come
// twice), Flows and Services say what there is. WatchReleases, if it is needed, must
// be called again; until then the old gate's program watches.
//
// The gate is found by its pins in config.BPFFS alone. That takes the privileges of Load.
//
// The error satisfies errors.Is with gate.ErrNoGate if the engine has left none, with
// gate.ErrNoBPFFS if there is no BPF file system, with gate.ErrPins if others may have
// changed the pins, and with gate.ErrLayout if the gate is of another version; nothing has
// changed then. Others are those of Load.
func Adopt(config Config) (*Gate, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	left, err := findGate(config.BPFFS, config.ID)
	if err != nil {
		return nil, err
	}
	defer left.close()
	g := &Gate{config: config}
	g.config.MaxConns = int(left.maps[bpf.GateMapSlots].MaxEntries())
	g.config.OutputBuffer = int(left.maps[bpf.GateMapOutputs].MaxEntries())
	if err := g.load(left.maps); err != nil {
		if errors.Is(err, ebpf.ErrMapIncompatible) {
			err = fmt.Errorf("%w: %w", gate.ErrLayout, err)
		}
		return nil, errors.Join(err, g.abandon())
	}
	if err := g.replacePrograms(left); err != nil {
		return nil, errors.Join(err, g.abandon())
	}
	g.takePins(left)
	g.filters.pins = g.ownPins
	return g, nil
}

// replacePrograms replaces the dead engine's programs.
func (g *Gate) replacePrograms(found *pinnedGate) error {
	// From here on the pins lead to all filters, the dead engine's and this one's.
	if err := found.pins.addPrograms(g.filters.progs.all()); err != nil {
		return err
	}
	g.filters.pins = func() *pins { return found.pins }
	if err := g.filters.adopt(found.filters); err != nil {
		return err
	}
	links := found.links
	found.links = nil
	if err := g.filters.adoptTCX(links); err != nil {
		return err
	}
	if err := g.releases.adopt(found.pins); err != nil {
		return err
	}
	if err := g.dropProofs(); err != nil {
		return err
	}
	return g.removeSenders()
}

// takePins takes the pins over: the filters have this gate's programs now. If that fails, the pins
// are removed.
func (g *Gate) takePins(found *pinnedGate) {
	g.pins, found.pins = found.pins, nil
	for id := range found.programs {
		if err := g.pins.unpin(programName(id)); err != nil {
			err = fmt.Errorf("gate: unpin program %d: %w", id, err)
			g.pinned.Err = errors.Join(err, g.unpin()) // incomplete pins are of no use
			return
		}
	}
	g.pinned.Dir = g.pins.path()
}

// abandon closes g and leaves the filters where they are.
func (g *Gate) abandon() error {
	g.leave()
	return g.Close()
}

// leave gives up what is attached and pinned, as the engine's death would.
func (g *Gate) leave() {
	g.filters.leave()
	g.releases.abandon()
	if g.pins != nil {
		g.pins.leave()
		g.pins = nil
	}
}
