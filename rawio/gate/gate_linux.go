package gate

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

// Gate is the programs and maps in the kernel. Its methods are safe for
// concurrent use. If the engine dies without Close, the programs stay attached
// and go on judging with what the slots last said; see [Adopt] and [CleanStale].
type Gate struct {
	config  Config
	objs    objects
	events  *EventReader
	outputs *OutputReader
	memory  []byte // the mapping of the slots
	slots   []Slot
	engine  *engineRecord
	record  []byte // the mapping of engine
	pins    *pins  // nil: there are none
	pinned  Pins
	filters
	releases
}

// objects are what every gate has in the kernel: all but the program that only
// WatchReleases needs.
type objects struct {
	programs
	bpfMaps
}

type programs struct {
	EgressEth  *ebpf.Program `ebpf:"egress_eth"`
	EgressL3   *ebpf.Program `ebpf:"egress_l3"`
	IngressEth *ebpf.Program `ebpf:"ingress_eth"`
	IngressL3  *ebpf.Program `ebpf:"ingress_l3"`
	Tap        *ebpf.Program `ebpf:"tap"`
}

// filtering are the programs that filters have.
func (p *programs) filtering() []*ebpf.Program {
	return []*ebpf.Program{p.EgressEth, p.EgressL3, p.IngressEth, p.IngressL3}
}

func (o *objects) Close() error {
	p := &o.programs
	return _BpfClose(p.EgressEth, p.EgressL3, p.IngressEth, p.IngressL3, p.Tap, &o.bpfMaps)
}

// Load loads the programs, creates the maps and pins them. Nothing is attached yet. The
// network namespace of the calling thread is the one that Attach and
// WatchReleases act in.
//
// It returns an error that satisfies errors.Is(err, ErrNotSupported) if the
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
	if err := spec.LoadAndAssign(&g.objs, &ebpf.CollectionOptions{MapReplacements: there}); err != nil {
		return unsupported("BPF programs", err)
	}
	if g.memory, err = mapSlots(g.objs.Slots, g.config.MaxConns); err != nil {
		return unsupported("memory-mapped BPF arrays", err)
	}
	g.slots = unsafe.Slice((*Slot)(unsafe.Pointer(&g.memory[0])), g.config.MaxConns)
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
	g.tcx = tcx{load: g.loadTCX, pins: g.ownPins}
	return g.filters.open(g.config.ID, &g.objs.programs)
}

// spec returns the compiled programs with the maps in their sizes.
func (c Config) spec() (*ebpf.CollectionSpec, error) {
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	conns := uint32(c.MaxConns)
	spec.Maps[bpfMapConns].MaxEntries = conns + spareFlows
	spec.Maps[bpfMapSlots].MaxEntries = conns
	spec.Maps[bpfMapEvents].MaxEntries = ringSize(c.MaxConns)
	spec.Maps[bpfMapOutputs].MaxEntries = uint32(c.OutputBuffer)
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
	size := (n*SlotSize + page - 1) / page * page
	return unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Close removes the filters, and every clsact qdisc that Attach made unless
// someone else's filters are there, ends WatchReleases, removes the pins, and frees the maps.
// Slots must not be used afterwards. Readers of events and outputs are unblocked
// with net.ErrClosed.
func (g *Gate) Close() error {
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

// serviceKey is struct service_key in bpf/maps.h.
type serviceKey struct {
	Port   uint16
	Family uint8 // 0: any
	_      uint8
}

// SetService protects the port on all addresses, or changes its state. It takes
// effect with the next packet. unmodified says that the server announces nothing:
// WatchReleases then looks at its sockets. What the gate does with a connection's
// packets depends on the slot's FlagUnmodified instead.
func (g *Gate) SetService(port uint16, state ServiceState, unmodified bool) error {
	value := uint32(state)
	if unmodified {
		value |= serviceUnmodified
	}
	old, err := g.service(port)
	if err == nil {
		err = g.objs.Services.Put(serviceKey{Port: port}, value|old&serviceTransparent)
	}
	if err != nil {
		return fmt.Errorf("gate: service %d: %w", port, err)
	}
	return nil
}

// service returns the value of a port; 0: it is not protected.
func (g *Gate) service(port uint16) (value uint32, err error) {
	if err = g.objs.Services.Lookup(serviceKey{Port: port}, &value); errors.Is(err, ebpf.ErrKeyNotExist) {
		err = nil
	}
	return value, err
}

// SetTransparent says whether the listener of a protected port takes connections to
// addresses of other hosts (IP_TRANSPARENT). If so, the port is the service's at all
// addresses, also where the host forwards for others. It lasts until DeleteService. Calls
// must not overlap with those of SetService.
func (g *Gate) SetTransparent(port uint16, transparent bool) error {
	value, err := g.service(port)
	if is := value&serviceTransparent != 0; err == nil && value != 0 && is != transparent {
		err = g.objs.Services.Put(serviceKey{Port: port}, value^serviceTransparent)
	}
	if err != nil {
		return fmt.Errorf("gate: service %d: %w", port, err)
	}
	return nil
}

// Transparent reports what SetTransparent has said.
func (g *Gate) Transparent(port uint16) (bool, error) {
	value, err := g.service(port)
	return value&serviceTransparent != 0, err
}

// Aliases returns the ports that are not protected and at which the listener of a protected
// one has taken connections since the gate was loaded, and that one's port: what TPROXY
// does. The gate sees no more of these connections.
func (g *Gate) Aliases() (map[uint16]uint16, error) {
	list := map[uint16]uint16{}
	var port, at uint16
	all := g.objs.Aliases.Iterate()
	for all.Next(&port, &at) {
		list[port] = at
	}
	if err := all.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return nil, fmt.Errorf("gate: list aliases: %w", err)
	}
	return list, nil
}

// DeleteService ends the protection of the port: its packets pass unseen from
// then on. A port that is not protected is no error.
func (g *Gate) DeleteService(port uint16) error {
	err := g.objs.Services.Delete(serviceKey{Port: port})
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("gate: service %d: %w", port, err)
	}
	return nil
}

// flowKey is struct flow_key in bpf/maps.h: addresses as 16 bytes, everything
// in network order.
type flowKey struct {
	Client, Server         [16]byte
	ClientPort, ServerPort [2]byte
}

func keyOf(f segment.Flow) flowKey {
	c, s := f.Client.Port(), f.Server.Port()
	return flowKey{
		Client:     f.Client.Addr().As16(),
		Server:     f.Server.Addr().As16(),
		ClientPort: [2]byte{byte(c >> 8), byte(c)},
		ServerPort: [2]byte{byte(s >> 8), byte(s)},
	}
}

// Bind makes the gate judge the flow's packets by the slot, which must be filled
// in before. It replaces an earlier binding of the flow. Binding a flow and
// changing it cost the same for any number of connections.
func (g *Gate) Bind(flow segment.Flow, slot uint32) error {
	if uint64(slot) >= uint64(len(g.slots)) {
		return ErrSlot
	}
	if err := g.objs.Conns.Put(keyOf(flow), slot); err != nil {
		return fmt.Errorf("gate: bind %v: %w", flow, err)
	}
	return nil
}

// Unbind forgets the flow; one that is not bound is no error. A packet that is
// being judged on another CPU may still use the slot for a moment.
func (g *Gate) Unbind(flow segment.Flow) error {
	err := g.objs.Conns.Delete(keyOf(flow))
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("gate: unbind %v: %w", flow, err)
	}
	return nil
}

// BindProof has the gate say that it is in the way of the flow's packets, which are not
// a connection's: it reports one that leaves as EventProofOut and sends it back in by the
// same interface; what comes in it reports as EventProofIn and consumes. Both
// ends of the flow should be the same, with a service's port, so that a packet is of it
// both ways. Unbind ends it; so does Adopt, for the flows of the engine before. There is
// room for two such flows beside those of connections.
func (g *Gate) BindProof(flow segment.Flow) error {
	if err := g.objs.Conns.Put(keyOf(flow), uint32(proofSlot)); err != nil {
		return fmt.Errorf("gate: bind %v: %w", flow, err)
	}
	return nil
}

// Slot returns the slot in memory shared with the gate; it panics if there is
// no such slot. The pointer is valid until Close.
func (g *Gate) Slot(i uint32) *Slot { return &g.slots[i] }

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
