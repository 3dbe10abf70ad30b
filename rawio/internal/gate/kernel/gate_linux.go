package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/bpf"
)

// Gate is the programs and maps in the kernel. Its methods are safe for
// concurrent use. If the engine dies without Close, the programs stay attached
// and go on judging with what the slots last said; see [Adopt] and [RemoveStale].
type Gate struct {
	config  Config
	objs    objects
	events  *EventReader
	outputs *OutputReader
	memory  []byte // the mapping of the slots
	slots   []gate.Slot
	engine  *engineRecord
	record  []byte // the mapping of engine
	pins    *pins  // nil: there are none
	pinned  Pins
	filters
	releases
}

// objects are what every gate has in the kernel besides the programs of its filters.
type objects struct {
	Tap *ebpf.Program `ebpf:"tap"`
	bpf.GateMaps
}

func (o *objects) Close() error { return errors.Join(o.GateMaps.Close(), o.Tap.Close()) }

// Load loads the programs, creates the maps and pins them. Nothing is attached yet. The
// network namespace of the calling thread is the one that Attach and
// WatchReleases act in.
//
// It returns an error that satisfies errors.Is(err, gate.ErrNotSupported) if the
// kernel lacks a feature or the process a privilege (CAP_BPF, CAP_NET_ADMIN).
func Load(config Config) (*Gate, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	g := &Gate{config: config}
	if err := g.load(nil); err != nil {
		g.Close()
		return nil, err
	}
	g.pin()
	return g, nil
}

// load loads the programs, with the maps that there are already.
func (g *Gate) load(there map[string]*ebpf.Map) error {
	spec, err := g.config.spec()
	if err != nil {
		return err
	}
	for name, m := range there {
		spec.Maps[name].MaxEntries = m.MaxEntries()
	}
	var first struct { // what nearly every gate needs
		objects
		In  *ebpf.Program `ebpf:"ingress_eth"`
		Out *ebpf.Program `ebpf:"egress_eth"`
	}
	if err := spec.LoadAndAssign(&first, &ebpf.CollectionOptions{MapReplacements: there}); err != nil {
		return unsupported("BPF programs", err)
	}
	g.objs = first.objects
	g.filters.programs(g.loadPair, &programPair{first.In, first.Out})
	if g.memory, err = mapSlots(g.objs.Slots, g.config.MaxConns); err != nil {
		return unsupported("memory-mapped BPF arrays", err)
	}
	g.slots = unsafe.Slice((*gate.Slot)(unsafe.Pointer(&g.memory[0])), g.config.MaxConns)
	if g.engine, g.record, err = mapEngine(g.objs.Engine); err != nil {
		return unsupported("memory-mapped BPF arrays", err)
	}
	if err := g.engine.take(g.config); err != nil {
		return err
	}
	if g.events, err = newEventReader(g.objs.Events); err != nil {
		return unsupported("BPF ring buffer", err)
	}
	if g.outputs, err = newOutputReader(g.objs.Outputs); err != nil {
		return unsupported("BPF ring buffer", err)
	}
	g.releases.open()
	g.filters.pins = g.ownPins
	return g.filters.open(g.config.ID)
}

// spareFlows is for how many bound flows there is room beside one for each slot: for two
// of BindProof, and for one of each service that shares its slot with others.
const spareFlows = 2 + gate.MaxServices

// spec returns the compiled programs with the maps in their sizes.
func (c Config) spec() (*ebpf.CollectionSpec, error) {
	spec, err := bpf.LoadGate()
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	conns := uint32(c.MaxConns)
	spec.Maps[bpf.GateMapConns].MaxEntries = conns + spareFlows
	spec.Maps[bpf.GateMapSlots].MaxEntries = conns
	spec.Maps[bpf.GateMapEvents].MaxEntries = ringSize(c.MaxConns)
	spec.Maps[bpf.GateMapOutputs].MaxEntries = uint32(c.OutputBuffer)
	return spec, nil
}

// ringSize is room, in bytes, for the news of a crash about every connection at
// once: that its socket is released, and the FIN or RST that the kernel sends.
func ringSize(conns int) uint32 {
	const header = 8
	const record, least, most = eventSize + header + crashSize + header, 256 << 10, 64 << 20
	size := least
	for size < conns*record && size < most {
		size *= 2
	}
	return uint32(size)
}

func mapSlots(m *ebpf.Map, n int) ([]byte, error) {
	page := unix.Getpagesize()
	size := (n*gate.SlotSize + page - 1) / page * page
	return unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Close removes the filters, and every clsact qdisc that Attach made unless
// someone else's filters are there, ends WatchReleases, removes the pins, and frees the maps.
// Slots must not be used afterwards. Readers of events and outputs are unblocked
// with net.ErrClosed. What a younger engine has taken over stays.
func (g *Gate) Close() error {
	if g.engine != nil && g.engine.owned(g.config.Epoch) != nil {
		g.leave()
	}
	errs := []error{g.filters.close(), g.releases.close(), g.unpin()}
	if g.events != nil {
		errs = append(errs, g.events.ring.Close())
	}
	if g.outputs != nil {
		errs = append(errs, g.outputs.ring.Close())
	}
	if g.memory != nil {
		errs = append(errs, unix.Munmap(g.memory))
		g.memory, g.slots = nil, nil
	}
	if g.record != nil {
		errs = append(errs, unix.Munmap(g.record))
		g.record, g.engine = nil, nil
	}
	if g.objs.Slots != nil {
		errs = append(errs, g.objs.Close())
		g.objs = objects{}
	}
	return errors.Join(errs...)
}

// Slot returns the slot in memory shared with the gate; it panics if there is
// no such slot. The pointer is valid until Close.
func (g *Gate) Slot(i uint32) *gate.Slot { return &g.slots[i] }

// MaxConns returns the number of slots.
func (g *Gate) MaxConns() int { return g.config.MaxConns }

// Events returns the reader of what the gate reports.
func (g *Gate) Events() *EventReader { return g.events }

// Outputs returns the reader of what servers send where FlagRecord or ModeRoll
// has it captured.
func (g *Gate) Outputs() *OutputReader { return g.outputs }

// TapFilter returns the socket filter that accepts client-to-server segments of
// the services, whole, and drops everything else. It is valid until Close.
func (g *Gate) TapFilter() *ebpf.Program { return g.objs.Tap }
