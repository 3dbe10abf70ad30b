package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/gate/bpf"
)

// Adopt takes over the gate of the engine with the ID, which has been killed: its
// maps, with all that is bound, held and not yet read, and its place on the
// interfaces of the calling thread's network namespace. At no time does a packet
// pass unjudged: each filter's program is exchanged in one step, for one that works
// on the same maps. Until then the old one judges. MaxConns and OutputBuffer are
// those of the old gate, whatever config says; ID and DeadAfter are config's.
//
// The caller must know that the engine is dead, and goes on as it did: readers of
// events and outputs begin with what it has not read (what it was reading may come
// twice), Flows and Services say what there is. WatchReleases, if it is needed, must
// be called again; until then the old gate's program watches.
//
// The gate is found by its pins in config.BPFFS, for which the privileges of Load do.
// Where there are none, or none to be trusted, it is found by what the filters tell:
// to open maps by their numbers takes CAP_SYS_ADMIN. Gate.Pins says which way it was.
//
// The error satisfies errors.Is with gate.ErrNoGate if the engine has left none, and
// with gate.ErrLayout if that is of another version; nothing has changed then. Others are
// those of Load.
func Adopt(config Config, id string) (*Gate, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	left, passed, err := findGate(config.BPFFS, id)
	if err != nil {
		return nil, err
	}
	defer left.close()
	g := &Gate{config: config, pinned: Pins{Passed: passed}}
	g.config.MaxConns = int(left.maps[bpf.GateMapSlots].MaxEntries())
	g.config.OutputBuffer = int(left.maps[bpf.GateMapOutputs].MaxEntries())
	if err := g.load(left.maps); err != nil {
		if errors.Is(err, ebpf.ErrMapIncompatible) {
			err = fmt.Errorf("%w: %w", gate.ErrLayout, err)
		}
		return nil, errors.Join(err, g.abandon())
	}
	// Whoever finds the pins from here on finds all filters, whose ever they are.
	if err := left.announce(&g.objs.programs); err != nil {
		return nil, errors.Join(err, g.abandon())
	}
	g.tcx.pins = func() *pins { return left.pins }
	err = g.filters.adopt(left.filters)
	if err == nil {
		links := left.links
		left.links = nil
		err = g.filters.adoptTCX(links)
	}
	if err == nil {
		err = g.releases.adopt(left)
	}
	if err == nil {
		err = g.dropProofs()
	}
	if err != nil {
		return nil, errors.Join(err, g.abandon())
	}
	if err := g.disownAll(); err != nil {
		return nil, errors.Join(err, g.abandon())
	}
	g.inherit(left)
	g.tcx.pins = g.ownPins
	return g, nil
}

// announce pins the programs of an engine that is about to adopt the gate.
func (r *remains) announce(p *programs) error {
	if r.pins == nil {
		return nil
	}
	return r.pins.addPrograms(p.filtering())
}

// inherit takes the pins over, if there are any, or makes them.
func (g *Gate) inherit(left *remains) {
	if left.pins == nil {
		g.pin()
		return
	}
	g.pins, left.pins = left.pins, nil
	if err := g.succeed(left.programs); err != nil {
		g.pinned.Err = errors.Join(err, g.unpin()) // they would tell half of it
		return
	}
	g.pinned.Dir = g.pins.path()
}

// abandon closes g and leaves the filters where they are.
func (g *Gate) abandon() error {
	g.filters.leave()
	g.releases.abandon()
	if g.pins != nil {
		g.pins.leave()
		g.pins = nil
	}
	return g.Close()
}
