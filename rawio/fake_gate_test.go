package rawio

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
)

// modelGate is the gate's model, and what an engine asks a gate beside. It may be used by several
// goroutines, as far as the engine does that.
type modelGate struct {
	*gatetest.Model
	mu          sync.Mutex // guards the model and events
	reports     chan struct{}
	events      []gate.Event
	services    map[uint16]gate.ServiceState
	transparent map[uint16]bool
	attached    map[int]bool
	mended      map[int]error // what Mend finds wrong on an interface, and puts right
	mends       int
	watches     error // what WatchReleases says
	watched     bool
	refuses     error // of SetService
	pins        mending
	releases    mending
	beats       int
	onBeat      func()
	flowsFail   int   // so often Flows fails
	readsFail   error // of events
	statsFail   error
	captured    chan struct{} // outputs are there
	captureFail chan error
	waits       func(what string) // told of each call that may wait
	closed      bool
	misused     []string // what was called after Close
}

// mending is what a check of a part of the gate finds.
type mending struct{ was, err error }

func newModelGate() *modelGate {
	return &modelGate{
		Model: gatetest.NewModel(8 + reservedSlots), services: map[uint16]gate.ServiceState{}, transparent: map[uint16]bool{},
		attached: map[int]bool{rigLink: true}, mended: map[int]error{},
		captured: make(chan struct{}, 1), captureFail: make(chan error, 1),
	}
}

// use has what follows be the only use of the model, until the returned function is called.
func (g *modelGate) use(what string) func() {
	g.mu.Lock()
	if g.closed {
		g.misused = append(g.misused, what)
	}
	return g.mu.Unlock
}

func (g *modelGate) mayWait(what string) {
	if g.waits != nil {
		g.waits(what)
	}
}

func (g *modelGate) SetService(port uint16, state gate.ServiceState, unmodified bool) error {
	defer g.use("SetService")()
	if g.refuses != nil {
		return g.refuses
	}
	g.services[port] = state
	return g.Model.SetService(port, state, unmodified)
}

func (g *modelGate) DeleteService(port uint16) error {
	defer g.use("DeleteService")()
	delete(g.services, port)
	return g.Model.DeleteService(port)
}

func (g *modelGate) Bind(f segment.Flow, slot uint32) error {
	defer g.use("Bind")()
	return g.Model.Bind(f, slot)
}

func (g *modelGate) BindProof(f segment.Flow) error {
	defer g.use("BindProof")()
	return g.Model.BindProof(f)
}

func (g *modelGate) Unbind(f segment.Flow) error {
	defer g.use("Unbind")()
	return g.Model.Unbind(f)
}

func (g *modelGate) Slot(i uint32) *gate.Slot {
	defer g.use("Slot")()
	return g.Model.Slot(i)
}

func (g *modelGate) Flows() (map[segment.Flow]uint32, error) {
	g.mayWait("Flows")
	defer g.use("Flows")()
	if g.flowsFail > 0 {
		g.flowsFail--
		return nil, errors.New("try again")
	}
	return g.Model.Flows()
}

func (g *modelGate) Beat() (bool, error) {
	defer g.use("Beat")()
	if g.onBeat != nil {
		g.onBeat()
	}
	g.beats++
	return g.Model.Beat()
}

func (g *modelGate) Stats() (gate.Stats, error) {
	defer g.use("Stats")()
	s, _ := g.Model.Stats()
	return s, g.statsFail
}

func (g *modelGate) Tap(pkt []byte, mark uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Model.Tap(pkt, mark)
}

func (g *modelGate) Ingress(pkt []byte, mark uint32) gatetest.Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.take(rigLink)
	return g.Model.Ingress(pkt, mark)
}

func (g *modelGate) Egress(pkt []byte, priority uint32) gatetest.Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.take(rigLink)
	return g.Model.Egress(pkt, priority)
}

func (g *modelGate) Release(f segment.Flow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.take(rigLink)
	g.Model.Release(f)
}

// fakeProofs is the socket of proofs: what leaves by an interface with the gate comes back by it.
type fakeProofs struct {
	*modelGate
	closed bool
}

func (p *fakeProofs) Close() error {
	p.closed = true
	return nil
}

func (p *fakeProofs) Send(packet []byte, to *unix.SockaddrLinklayer) error {
	g := p.modelGate
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.take(to.Ifindex)
	if packet = slices.Clone(packet); g.attached[to.Ifindex] && g.Model.Egress(packet, 0) == gatetest.Returned {
		g.Model.Ingress(packet, 0)
	}
	return nil
}

func (g *modelGate) Services() (list []gate.Service, err error) {
	defer g.use("Services")()
	for p, s := range g.services {
		list = append(list, gate.Service{Port: p, State: s})
	}
	return list, nil
}

func (g *modelGate) SetTransparent(port uint16, is bool) error {
	defer g.use("SetTransparent")()
	g.transparent[port] = is
	return nil
}

func (g *modelGate) Aliases() (map[uint16]uint16, error) {
	g.mayWait("Aliases")
	defer g.use("Aliases")()
	return map[uint16]uint16{}, nil
}

func (g *modelGate) WatchReleases() error {
	g.mayWait("WatchReleases")
	defer g.use("WatchReleases")()
	g.watched = g.watches == nil
	return g.watches
}

func (g *modelGate) Attach(index int) error {
	g.mayWait("Attach")
	defer g.use("Attach")()
	g.attached[index] = true
	return nil
}

func (g *modelGate) Detach(index int) error {
	g.mayWait("Detach")
	defer g.use("Detach")()
	delete(g.attached, index)
	return nil
}

func (g *modelGate) Attached(index int) bool {
	defer g.use("Attached")()
	return g.attached[index]
}

func (g *modelGate) MendPins() (was, err error) {
	g.mayWait("MendPins")
	defer g.use("MendPins")()
	return g.pins.was, g.pins.err
}

func (g *modelGate) MendReleases() (was, err error) {
	g.mayWait("MendReleases")
	defer g.use("MendReleases")()
	return g.releases.was, g.releases.err
}

func (g *modelGate) AddSender(uint64, gate.Sender) error {
	defer g.use("AddSender")()
	return nil
}

func (g *modelGate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return nil
}

func (g *modelGate) Transparent(port uint16) (bool, error) {
	defer g.use("Transparent")()
	return g.transparent[port], nil
}

func (g *modelGate) Overtaken(int) bool        { return false }
func (g *modelGate) RemoveSender(uint64) error { return nil }
func (g *modelGate) Pins() kernel.Pins         { return kernel.Pins{} }
func (g *modelGate) FD() int                   { return -1 }

func (g *modelGate) Mend(index int) (was, err error) {
	g.mayWait("Mend")
	defer g.use("Mend")()
	was = g.mended[index]
	delete(g.mended, index)
	g.mends++
	return was, nil
}

// take gathers what the model has reported at an interface. mu is held.
func (g *modelGate) take(index int) {
	for _, ev := range g.TakeEvents() {
		ev.IfIndex = index
		g.events = append(g.events, ev)
	}
	if len(g.events) > 0 && g.reports != nil {
		ring(g.reports)
	}
}

func (g *modelGate) pending() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(rigLink)
	return len(g.events) > 0 || g.readsFail != nil
}

func (g *modelGate) TryReadBatch(events []gate.Event) (int, error) {
	defer g.use("TryReadBatch")()
	g.take(rigLink)
	if g.readsFail != nil {
		return 0, g.readsFail
	}
	n := copy(events, g.events)
	g.events = g.events[n:]
	return n, nil
}

func (g *modelGate) ReadBatch(ctx context.Context, outputs []gate.Output) (int, error) {
	g.mayWait("ReadBatch")
	for {
		g.mu.Lock()
		list := g.TakeOutputs()
		g.mu.Unlock()
		if len(list) > 0 {
			return copy(outputs, list), nil
		}
		select {
		case <-g.captured:
		case err := <-g.captureFail:
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
