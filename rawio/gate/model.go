package gate

import "github.com/ftnet/ftnet/rawio/segment"

// Model judges packets as the BPF programs do, in Go, on IP packets in memory.
// The simulation runs on it, and a test compares it with the kernel packet by
// packet. It is not safe for concurrent use, apart from the slots.
type Model struct {
	services map[uint16]ServiceState
	conns    map[segment.Flow]uint32
	slots    []Slot
	events   []Event
	count    counters

	// Now supplies Event.Ktime; nil means 0.
	Now func() uint64
}

// NewModel returns a gate with maxConns slots and no service.
func NewModel(maxConns int) *Model {
	return &Model{
		services: make(map[uint16]ServiceState),
		conns:    make(map[segment.Flow]uint32),
		slots:    make([]Slot, maxConns),
	}
}

// SetService is Gate.SetService.
func (m *Model) SetService(port uint16, state ServiceState) error {
	m.services[port] = state
	return nil
}

// DeleteService is Gate.DeleteService.
func (m *Model) DeleteService(port uint16) error {
	delete(m.services, port)
	return nil
}

// Bind is Gate.Bind.
func (m *Model) Bind(flow segment.Flow, slot uint32) error {
	if uint64(slot) >= uint64(len(m.slots)) {
		return ErrSlot
	}
	m.conns[flow] = slot
	return nil
}

// Unbind is Gate.Unbind.
func (m *Model) Unbind(flow segment.Flow) error {
	delete(m.conns, flow)
	return nil
}

// Slot is Gate.Slot.
func (m *Model) Slot(i uint32) *Slot { return &m.slots[i] }

// MaxConns is Gate.MaxConns.
func (m *Model) MaxConns() int { return len(m.slots) }

// Stats is Gate.Stats.
func (m *Model) Stats() (Stats, error) { return m.count.stats(), nil }

// TakeEvents returns the events since the last call. They own their packets.
func (m *Model) TakeEvents() []Event {
	e := m.events
	m.events = nil
	return e
}

// Tap reports whether the tap's filter accepts the incoming packet.
func (m *Model) Tap(pkt []byte, mark uint32) bool {
	p, ok := parseIP(pkt)
	if !ok || mark == Mark || p.protocol != protoTCP || len(pkt) < p.l4+4 {
		return false
	}
	_, ok = m.services[be.Uint16(p.tcp()[2:])]
	return ok
}

func (m *Model) report(kind EventKind, slot uint32, p *packet) {
	e := Event{Kind: kind, Slot: slot, Length: p.end & 0xffff}
	if m.Now != nil {
		e.Ktime = m.Now()
	}
	e.Packet = append(e.Packet, p.b[:min(p.end, EventCapture)]...)
	m.events = append(m.events, e)
}

// lookup returns the flow's slot, or nil.
func (m *Model) lookup(flow segment.Flow) (*Slot, uint32) {
	i, ok := m.conns[flow]
	if !ok {
		return nil, NoSlot
	}
	return &m.slots[i], i
}

// quoted returns the slot of the connection whose packet, travelling in
// direction dir, is quoted in the ICMP error, and the quoted TCP header.
func (m *Model) quoted(icmp []byte, dir direction) (*Slot, []byte) {
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
