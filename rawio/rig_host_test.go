package rawio

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/gate/kernel"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// modelGate is the gate's model, and what an engine asks a gate beside.
type modelGate struct {
	*gatetest.Model
	events      []gate.Event
	services    map[uint16]gate.ServiceState
	transparent map[uint16]bool
	attached    map[int]bool
	mended      map[int]error // what Mend finds wrong on an interface, and puts right
	mends       int
	watches     error // what WatchReleases says
	watched     bool
	closed      bool
}

func newModelGate() *modelGate {
	return &modelGate{
		Model: gatetest.NewModel(8 + reservedSlots), services: map[uint16]gate.ServiceState{}, transparent: map[uint16]bool{},
		attached: map[int]bool{rigLink: true}, mended: map[int]error{},
	}
}

func (g *modelGate) SetService(port uint16, state gate.ServiceState, unmodified bool) error {
	g.services[port] = state
	return g.Model.SetService(port, state, unmodified)
}

func (g *modelGate) DeleteService(port uint16) error {
	delete(g.services, port)
	return g.Model.DeleteService(port)
}

func (g *modelGate) Services() (list []gate.Service, err error) {
	for p, s := range g.services {
		list = append(list, gate.Service{Port: p, State: s})
	}
	return list, nil
}

func (g *modelGate) SetTransparent(port uint16, is bool) error { g.transparent[port] = is; return nil }
func (g *modelGate) Transparent(port uint16) (bool, error)     { return g.transparent[port], nil }
func (g *modelGate) Aliases() (map[uint16]uint16, error)       { return map[uint16]uint16{}, nil }
func (g *modelGate) WatchReleases() error                      { g.watched = g.watches == nil; return g.watches }
func (g *modelGate) Attach(index int) error                    { g.attached[index] = true; return nil }
func (g *modelGate) Attached(index int) bool                   { return g.attached[index] }
func (g *modelGate) Detach(index int) error                    { delete(g.attached, index); return nil }
func (g *modelGate) Overtaken(int) bool                        { return false }
func (g *modelGate) AddSender(uint64, gate.Sender) error       { return nil }
func (g *modelGate) RemoveSender(uint64) error                 { return nil }
func (g *modelGate) Pins() kernel.Pins                         { return kernel.Pins{} }
func (g *modelGate) MendPins() (was, err error)                { return nil, nil }
func (g *modelGate) MendReleases() (was, err error)            { return nil, nil }
func (g *modelGate) Close() error                              { g.closed = true; return nil }
func (g *modelGate) FD() int                                   { return -1 }

func (g *modelGate) Mend(index int) (was, err error) {
	was = g.mended[index]
	delete(g.mended, index)
	g.mends++
	return was, nil
}

// take gathers what the model has reported.
func (g *modelGate) take() {
	for _, ev := range g.TakeEvents() {
		ev.IfIndex = rigLink
		g.events = append(g.events, ev)
	}
}

func (g *modelGate) pending() bool {
	g.take()
	return len(g.events) > 0
}

func (g *modelGate) TryReadBatch(events []gate.Event) (int, error) {
	g.take()
	n := copy(events, g.events)
	g.events = g.events[n:]
	return n, nil
}

func (g *modelGate) ReadBatch(ctx context.Context, outputs []gate.Output) (int, error) {
	if list := g.TakeOutputs(); len(list) > 0 {
		return copy(outputs, list), nil
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

// fakeTable is the table of a stack's sockets.
type fakeTable struct {
	stack     *rawiotest.Stack
	listeners []sockdiag.Listener
	queues    map[uint16]func() int // room for connections
	destroyed []Flow
	more      []sockdiag.Socket // sockets that the stack does not have
	fails     error             // of all lists
	turn      sync.Mutex        // has whoever uses the rig while a trial is under way
}

// listens has a port's listeners be one of the stack.
func (k *fakeTable) listens(at netip.AddrPort, l *rawiotest.Listener) {
	k.listeners = append(slices.DeleteFunc(k.listeners, func(o sockdiag.Listener) bool { return o.Address == at }), sockdiag.Listener{Address: at})
	if k.queues == nil {
		k.queues = map[uint16]func() int{}
	}
	k.queues[at.Port()] = l.Room
}

var kernelStates = map[rawiotest.State]sockdiag.State{
	rawiotest.Closed: sockdiag.Close, rawiotest.SynSent: sockdiag.SynSent, rawiotest.SynReceived: sockdiag.SynReceived,
	rawiotest.Established: sockdiag.Established, rawiotest.FinWait1: sockdiag.FinWait1, rawiotest.FinWait2: sockdiag.FinWait2,
	rawiotest.CloseWait: sockdiag.CloseWait, rawiotest.Closing: sockdiag.Closing, rawiotest.LastAck: sockdiag.LastAck,
	rawiotest.TimeWait: sockdiag.TimeWait,
}

func (k *fakeTable) all(ports []uint16) (list []sockdiag.Socket) {
	for i, s := range k.stack.Sockets() {
		list = append(list, sockdiag.Socket{
			Flow: Flow{Client: s.RemoteAddr(), Server: s.LocalAddr()}, State: kernelStates[s.State()], Cookie: uint64(i + 1), Inode: 1,
		})
	}
	return slices.DeleteFunc(append(list, k.more...), func(s sockdiag.Socket) bool { return !slices.Contains(ports, s.Flow.Server.Port()) })
}

func (k *fakeTable) Listeners(ports []uint16) (list []sockdiag.Listener, err error) {
	for _, l := range k.listeners {
		if slices.Contains(ports, l.Address.Port()) {
			list = append(list, l)
		}
	}
	return list, k.fails
}

func (k *fakeTable) List(ports []uint16) (map[segment.Flow]sockdiag.State, error) {
	list := map[segment.Flow]sockdiag.State{}
	for _, s := range k.all(ports) {
		list[s.Flow] = s.State
	}
	return list, k.fails
}

func (k *fakeTable) Sockets(ports []uint16) ([]sockdiag.Socket, error) { return k.all(ports), k.fails }

func (k *fakeTable) Progress([]uint16) (map[segment.Flow]sockdiag.Bytes, error) {
	return nil, errors.New("not known")
}

func (k *fakeTable) Destroy(f segment.Flow, _ ...int) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	k.destroyed = append(k.destroyed, f)
	if k.stack.Destroy(f.Server, f.Client) != nil {
		return sockdiag.ErrNotFound
	}
	return nil
}

func (k *fakeTable) Watch() (socketWatcher, error) { return fakeWatcher{k}, nil }

type fakeWatcher struct{ k *fakeTable }

func (w fakeWatcher) Close() error { return nil }

func (w fakeWatcher) State(f segment.Flow, _ ...int) (sockdiag.State, error) {
	w.k.turn.Lock()
	defer w.k.turn.Unlock()
	for _, s := range w.k.all([]uint16{f.Server.Port()}) {
		if s.Flow == f {
			return s.State, nil
		}
	}
	return 0, sockdiag.ErrNotFound
}

func (w fakeWatcher) Progress(segment.Flow, ...int) (sockdiag.Bytes, error) {
	return sockdiag.Bytes{}, errors.New("not known")
}

func (w fakeWatcher) Room(port uint16) (int, error) {
	room := w.k.queues[port]
	if room == nil {
		return math.MaxInt, sockdiag.ErrNotFound
	}
	return room(), nil
}

func (w fakeWatcher) Sockets(ports []uint16, f func(*sockdiag.Socket)) error {
	for _, s := range w.k.all(ports) {
		f(&s)
	}
	return w.k.fails
}
