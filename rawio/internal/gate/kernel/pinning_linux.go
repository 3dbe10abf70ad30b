package kernel

import (
	"errors"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/rawio/internal/gate/bpf"
)

// Pins tells whether the gate is pinned.
func (g *Gate) Pins() Pins { return g.pinned }

func (g *Gate) ownPins() *pins { return g.pins }

// pin makes the gate's pins. A gate does without, if it has to.
func (g *Gate) pin() {
	p, err := g.makePins()
	if err != nil {
		g.pinned.Err = err
		return
	}
	g.pins, g.pinned.Dir = p, p.path()
}

func (g *Gate) makePins() (*pins, error) {
	r, err := openPinRoot(g.config.BPFFS, true)
	if err != nil {
		return nil, err
	}
	defer r.unlock()
	name, err := pinsName(g.config.ID)
	if err != nil {
		return nil, err
	}
	p, err := r.create(name)
	if err != nil {
		return nil, err
	}
	if err = p.addMaps(g.objs.mapsByName()); err == nil {
		err = p.addPrograms(g.filters.progs.all())
	}
	if err != nil {
		return nil, errors.Join(err, r.remove(p))
	}
	return p, nil
}

// mapsByName returns the maps of the programs that filters have, which outlive an engine,
// by the names that they have in package bpf.
func (o *objects) mapsByName() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{
		bpf.GateMapAliases: o.Aliases, bpf.GateMapClosings: o.Closings, bpf.GateMapConns: o.Conns, bpf.GateMapEngine: o.Engine,
		bpf.GateMapEvents: o.Events, bpf.GateMapOutputs: o.Outputs, bpf.GateMapOwn: o.Own, bpf.GateMapServices: o.Services,
		bpf.GateMapSlots: o.Slots, bpf.GateMapStats: o.Stats, bpf.GateMapWatches: o.Watches,
	}
}

// unpin removes the pins.
func (g *Gate) unpin() error {
	if g.pins == nil {
		return nil
	}
	p := g.pins
	g.pins = nil
	r, err := openPinRoot(g.config.BPFFS, false)
	if err != nil {
		p.leave()
		return err
	}
	defer r.unlock()
	return r.remove(p)
}
