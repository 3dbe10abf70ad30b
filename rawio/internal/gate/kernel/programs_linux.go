package kernel

import (
	"errors"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
)

// linkType is what stands before the IP header of an interface's packets.
type linkType string

// Link types, as the names of the programs end.
const (
	ethernetLink linkType = "eth"
	layer3Link   linkType = "l3" // nothing does
)

// programPair are the programs for the two sides of an interface.
type programPair struct{ in, out *ebpf.Program }

func (p *programPair) sides() []*ebpf.Program { return []*ebpf.Program{p.in, p.out} }

func (p *programPair) close() error { return errors.Join(p.in.Close(), p.out.Close()) }

// programs are a gate's programs of one kind. Those of a link type are loaded when the
// first interface of that type wants them: the kernel takes a tenth of a second of a CPU
// to verify one, and a restarted engine is waited for.
type programs struct {
	prefixes [2]string // of the names of the sides' programs
	load     func(names [2]string) (*programPair, error)
	loaded   map[linkType]*programPair
}

// of returns the programs for a link type.
func (p *programs) of(t linkType) (*programPair, error) {
	if there := p.loaded[t]; there != nil {
		return there, nil
	}
	return p.fresh(t)
}

// fresh is of, but for programs that stand nowhere yet. What is attached of those before
// stays so.
func (p *programs) fresh(t linkType) (*programPair, error) {
	made, err := p.load([2]string{p.prefixes[0] + string(t), p.prefixes[1] + string(t)})
	if err != nil {
		return nil, err
	}
	if old := p.loaded[t]; old != nil {
		_ = old.close()
	}
	if p.loaded == nil {
		p.loaded = make(map[linkType]*programPair)
	}
	p.loaded[t] = made
	return made, nil
}

// all returns the programs that are loaded.
func (p *programs) all() (list []*ebpf.Program) {
	for _, made := range p.loaded {
		list = append(list, made.sides()...)
	}
	return list
}

func (p *programs) close() error {
	var errs []error
	for _, made := range p.loaded {
		errs = append(errs, made.close())
	}
	p.loaded = nil
	return errors.Join(errs...)
}

// loadPair loads two programs, which work on the gate's maps.
func (g *Gate) loadPair(names [2]string) (*programPair, error) {
	spec, err := g.config.spec()
	if err != nil {
		return nil, err
	}
	there := g.objs.mapsByName()
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool { return there[name] == nil })
	for name, m := range there {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(names[:], name) })
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: there})
	if err != nil {
		return nil, unsupported("BPF programs", err)
	}
	defer c.Close()
	return &programPair{c.DetachProgram(names[0]), c.DetachProgram(names[1])}, nil
}
