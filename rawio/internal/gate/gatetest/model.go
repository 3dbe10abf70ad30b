package gatetest

import (
	"maps"
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// maxOutput is the length in bytes of the longest packet that is captured: see bpf/output.h.
const maxOutput = 516<<10 - 32

// Model judges packets as the BPF programs do, in Go, on IP packets in memory.
// The simulation runs on it, and a test compares it with the kernel packet by
// packet. It is not safe for concurrent use, apart from the slots.
type Model struct {
	services map[uint16]modelService
	conns    map[segment.Flow]uint32
	slots    []gate.Slot
	events   []gate.Event
	outputs  []gate.Output
	count    gate.Stats
	beat     uint64
	// fragmenting are the pairs of addresses of which the first fragment of a segment
	// for a service was tapped.
	fragmenting map[[2]netip.Addr]bool

	// Now supplies the Ktime of events and outputs, and the time of Beat; nil
	// means 0.
	Now func() uint64
	// Secret is the mark of what the engine sends, from the loopback device's egress
	// to its ingress; 0: there is none.
	Secret uint32
	// DeadAfter is kernel.Config.DeadAfter, in units of Now.
	DeadAfter uint64
	// OutputsFull says that the ring of outputs has no room.
	OutputsFull bool
	// EventsFull says that the ring of events has none.
	EventsFull bool
	// Task is in whose name the kernel works, for Release and for the FINs and RSTs of
	// connections whose release the gate has not seen.
	Task Task
	// Holder says whose the sockets are that the packets given to Egress come from.
	Holder Holder
	// Closing says that no other than Task has released a listener since Task did.
	Closing bool
	// From is where the packets given to Egress come from.
	From Origin
}

// Origin is where a packet that leaves the host comes from.
type Origin uint8

const (
	FromSocket    Origin = iota // of this host
	FromStack                   // of this host, without a socket: a SYN cookie
	FromElsewhere               // forwarded for another host
)

// Holder is who has a socket.
type Holder uint8

const (
	HolderTask  Holder = iota // Task, which works on it
	HolderQueue               // a listener's, that nobody has accepted it from
	HolderOther               // a process; Task has only been interrupted
	HolderNone                // no process any more
)

// Task is a process, as far as the gate looks at it.
type Task struct {
	Exiting bool
	PID     int
	Code    int // how it ends, as Event.Code
}

func (t Task) crashing() bool { return t.Exiting && t.Code != 0 }

type modelService struct {
	state      gate.ServiceState
	unmodified bool
}

// NewModel returns a gate with maxConns slots and no service.
func NewModel(maxConns int) *Model {
	return &Model{
		services: make(map[uint16]modelService),
		conns:    make(map[segment.Flow]uint32),
		slots:    make([]gate.Slot, maxConns),

		fragmenting: make(map[[2]netip.Addr]bool),
	}
}

// SetService is kernel.Gate.SetService.
func (m *Model) SetService(port uint16, state gate.ServiceState, unmodified bool) error {
	m.services[port] = modelService{state, unmodified}
	return nil
}

// DeleteService is kernel.Gate.DeleteService.
func (m *Model) DeleteService(port uint16) error {
	delete(m.services, port)
	return nil
}

// Bind is kernel.Gate.Bind.
func (m *Model) Bind(flow segment.Flow, slot uint32) error {
	if uint64(slot) >= uint64(len(m.slots)) {
		return gate.ErrSlot
	}
	m.conns[flow] = slot
	return nil
}

// BindProof is kernel.Gate.BindProof.
func (m *Model) BindProof(flow segment.Flow) error {
	m.conns[flow] = gate.ProofSlot
	return nil
}

// Unbind is kernel.Gate.Unbind.
func (m *Model) Unbind(flow segment.Flow) error {
	delete(m.conns, flow)
	return nil
}

// Bound reports whether the flow is bound, by Bind or by BindProof.
func (m *Model) Bound(flow segment.Flow) bool {
	_, ok := m.conns[flow]
	return ok
}

// Flows is kernel.Gate.Flows.
func (m *Model) Flows() (map[segment.Flow]uint32, error) {
	flows := maps.Clone(m.conns)
	maps.DeleteFunc(flows, func(_ segment.Flow, slot uint32) bool { return slot == gate.ProofSlot })
	return flows, nil
}

// Slot is kernel.Gate.Slot.
func (m *Model) Slot(i uint32) *gate.Slot { return &m.slots[i] }

// MaxConns is kernel.Gate.MaxConns.
func (m *Model) MaxConns() int { return len(m.slots) }

// Beat is kernel.Gate.Beat.
func (m *Model) Beat() (late bool, err error) {
	late = m.engineDead()
	m.beat = m.now()
	return late, nil
}

// Stats is kernel.Gate.Stats.
func (m *Model) Stats() (gate.Stats, error) { return m.count, nil }

// TakeEvents returns the events since the last call. They own their packets.
func (m *Model) TakeEvents() []gate.Event {
	e := m.events
	m.events = nil
	return e
}

// TakeOutputs returns the outputs since the last call. They own their packets.
func (m *Model) TakeOutputs() []gate.Output {
	o := m.outputs
	m.outputs = nil
	return o
}

// Release is what happens, once the gate watches releases, when Task lets go of
// the flow's socket: before the socket's FIN or RST is made.
func (m *Model) Release(flow segment.Flow) {
	s, index := m.lookup(flow)
	if s == nil || !m.services[flow.Server.Port()].unmodified || s.Mode() == gate.ModeFree || s.Mode() == gate.ModeOpen {
		return
	}
	if m.Task.crashing() {
		m.crashed(s, index)
	} else {
		s.SetReleased(gate.ReleasedClosed)
	}
}

func (m *Model) crashed(s *gate.Slot, index uint32) {
	s.SetReleased(gate.ReleasedCrashed)
	m.count.Crashed++
	m.emit(gate.Event{Kind: gate.EventCrashed, Slot: index, Ktime: m.now(), PID: m.Task.PID, Code: m.Task.Code})
}

// Tap reports whether the tap's filter accepts the incoming packet.
func (m *Model) Tap(pkt []byte, mark uint32) bool {
	if m.marked(mark) {
		return false
	}
	p, ok := parseIP(pkt)
	pair := [2]netip.Addr{p.src, p.dst}
	switch {
	case p.later:
		return m.fragmenting[pair]
	case !ok || p.protocol != protoTCP || len(pkt) < p.l4+4:
		return false
	}
	if _, ok = m.services[be.Uint16(p.tcp()[2:])]; ok && p.fragment {
		m.fragmenting[pair] = true
	}
	return ok
}

func (m *Model) marked(mark uint32) bool { return mark != 0 && mark == m.Secret }

// report is false if there is no room.
func (m *Model) report(kind gate.EventKind, slot uint32, p *packet) bool {
	e := gate.Event{Kind: kind, Slot: slot, Length: p.end, Ktime: m.now()}
	e.Packet = append(e.Packet, p.b[:min(p.end, gate.EventCapture)]...)
	return m.emit(e)
}

func (m *Model) emit(e gate.Event) bool {
	if m.EventsFull {
		m.count.EventsLost++
		return false
	}
	m.events = append(m.events, e)
	return true
}

// capture is false if there is no room.
func (m *Model) capture(kind gate.OutputKind, index uint32, p *packet, seq uint32) bool {
	if m.OutputsFull || p.end > maxOutput {
		m.count.Unrecorded++
		return false
	}
	m.outputs = append(m.outputs, gate.Output{
		Kind: kind, Slot: index, Gen: m.slots[index].Gen(), Seq: seq, Ktime: m.now(),
		Packet: append([]byte(nil), p.b[:p.end]...),
	})
	return true
}

func (m *Model) now() uint64 {
	if m.Now == nil {
		return 0
	}
	return m.Now()
}

// engineDead says whether the engine has died and is not to be waited for.
func (m *Model) engineDead() bool {
	return m.DeadAfter > 0 && int64(m.now()-m.beat) > int64(m.DeadAfter)
}

// isOpen says whether packets of a connection pass that would otherwise be held. Once one
// has passed, all do: no engine can protect the connection any more.
func (m *Model) isOpen(s *gate.Slot) bool { return s.Opened() || m.engineDead() }

// openSlot is isOpen for a packet that ends the protection when it passes.
func (m *Model) openSlot(s *gate.Slot) bool {
	if !m.isOpen(s) {
		return false
	}
	s.GateSide().Open(gate.OpenedStall)
	m.count.Opened++
	return true
}

// passes is the verdict on what leaves because the engine is dead.
func (m *Model) passes() Verdict {
	m.count.Opened++
	return Pass
}

// lookup returns the flow's slot, or nil.
func (m *Model) lookup(flow segment.Flow) (*gate.Slot, uint32) {
	i, ok := m.conns[flow]
	if !ok {
		return nil, gate.NoSlot
	}
	if i == gate.ProofSlot {
		return nil, i
	}
	return &m.slots[i], i
}

// quoted returns the slot of the connection whose packet, travelling in
// direction dir, is quoted in the ICMP error, and the quoted TCP header.
func (m *Model) quoted(icmp []byte, dir direction) (*gate.Slot, []byte) {
	if len(icmp) < 8 {
		return nil, nil
	}
	q, ok := parseIP(icmp[8:])
	if !ok || q.protocol != protoTCP || len(q.b) < q.l4+8 {
		return nil, nil
	}
	q.ports(q.tcp(), dir)
	if _, ok := m.services[q.flow.Server.Port()]; !ok {
		return nil, nil
	}
	s, _ := m.lookup(q.flow)
	return s, q.tcp()
}
