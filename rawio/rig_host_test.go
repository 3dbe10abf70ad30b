package rawio

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
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
	if g.onBeat != nil {
		g.onBeat()
	}
	defer g.use("Beat")()
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

func (g *modelGate) Transparent(port uint16) (bool, error) { return g.transparent[port], nil }
func (g *modelGate) Overtaken(int) bool                    { return false }
func (g *modelGate) RemoveSender(uint64) error             { return nil }
func (g *modelGate) Pins() kernel.Pins                     { return kernel.Pins{} }
func (g *modelGate) FD() int                               { return -1 }

func (g *modelGate) Mend(index int) (was, err error) {
	g.mayWait("Mend")
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

// fakeTable is the table of a stack's sockets.
type fakeTable struct {
	stack     *rawiotest.Stack
	wire      *sync.Mutex // guards it
	listeners []sockdiag.Listener
	queues    map[uint16]func() int // room for connections
	destroyed []Flow
	more      []sockdiag.Socket // sockets that the stack does not have
	fails     error             // of all lists
	lists     int               // calls of List
	waits     func(what string) // told of each call that may wait
	watchers  int               // that are open
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

func (k *fakeTable) mayWait(what string) {
	if k.waits != nil {
		k.waits(what)
	}
}

func (k *fakeTable) all(ports []uint16) (list []sockdiag.Socket) {
	k.wire.Lock()
	defer k.wire.Unlock()
	for i, s := range k.stack.Sockets() {
		list = append(list, sockdiag.Socket{
			Flow: Flow{Client: s.RemoteAddr(), Server: s.LocalAddr()}, State: kernelStates[s.State()], Cookie: uint64(i + 1), Inode: 1,
		})
	}
	return slices.DeleteFunc(append(list, k.more...), func(s sockdiag.Socket) bool { return !slices.Contains(ports, s.Flow.Server.Port()) })
}

func (k *fakeTable) Listeners(ports []uint16) (list []sockdiag.Listener, err error) {
	k.mayWait("Listeners")
	for _, l := range k.listeners {
		if slices.Contains(ports, l.Address.Port()) {
			list = append(list, l)
		}
	}
	return list, k.fails
}

func (k *fakeTable) List(ports []uint16) (map[segment.Flow]sockdiag.State, error) {
	k.mayWait("List")
	k.lists++
	list := map[segment.Flow]sockdiag.State{}
	for _, s := range k.all(ports) {
		list[s.Flow] = s.State
	}
	return list, k.fails
}

func (k *fakeTable) Sockets(ports []uint16) ([]sockdiag.Socket, error) {
	k.mayWait("Sockets")
	return k.all(ports), k.fails
}

func (k *fakeTable) Progress([]uint16) (map[segment.Flow]sockdiag.Bytes, error) {
	k.mayWait("Progress")
	return nil, errors.New("not known")
}

func (k *fakeTable) Destroy(f segment.Flow, _ ...int) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	k.wire.Lock()
	defer k.wire.Unlock()
	k.destroyed = append(k.destroyed, f)
	if k.stack.Destroy(f.Server, f.Client) != nil {
		return sockdiag.ErrNotFound
	}
	return nil
}

func (k *fakeTable) Watch() (socketWatcher, error) {
	k.watchers++
	return fakeWatcher{k}, nil
}

type fakeWatcher struct{ k *fakeTable }

func (w fakeWatcher) Close() error { w.k.watchers--; return nil }

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
	w.k.wire.Lock()
	defer w.k.wire.Unlock()
	room := w.k.queues[port]
	if room == nil {
		return math.MaxInt, sockdiag.ErrNotFound
	}
	return room(), nil
}

func (w fakeWatcher) Sockets(ports []uint16, f func(*sockdiag.Socket)) error {
	w.k.mayWait("a list of sockets")
	for _, s := range w.k.all(ports) {
		f(&s)
	}
	return w.k.fails
}

// fakeLinks are a host's interfaces: eth0 at first.
type fakeLinks struct {
	all    map[int]netlink.LinkAttrs
	fails  error
	waits  func(what string)
	closed bool
}

func newFakeLinks() *fakeLinks {
	l := &fakeLinks{all: map[int]netlink.LinkAttrs{}}
	l.add(rigLink, "eth0")
	return l
}

func (l *fakeLinks) add(index int, name string) {
	l.all[index] = netlink.LinkAttrs{Index: index, Name: name, RawFlags: unix.IFF_UP}
}

func (l *fakeLinks) LinkByIndex(index int) (netlink.Link, error) {
	if l.waits != nil {
		l.waits("LinkByIndex")
	}
	a, ok := l.all[index]
	switch {
	case l.fails != nil:
		return nil, l.fails
	case !ok:
		return nil, netlink.LinkNotFoundError{}
	}
	return &netlink.Dummy{LinkAttrs: a}, nil
}

func (l *fakeLinks) LinkByName(string) (netlink.Link, error) { return nil, errors.New("not asked for") }
func (l *fakeLinks) Close()                                  { l.closed = true }

func (l *fakeLinks) LinkList() (list []netlink.Link, err error) {
	if l.waits != nil {
		l.waits("LinkList")
	}
	for _, a := range l.all {
		list = append(list, &netlink.Dummy{LinkAttrs: a})
	}
	return list, l.fails
}

// fakeNews is a socket that tells what a test lets the kernel say.
type fakeNews struct {
	told  chan told
	ended chan struct{}
}

type told struct {
	messages []syscall.NetlinkMessage
	from     uint32
	err      error
}

func newFakeNews() *fakeNews { return &fakeNews{told: make(chan told), ended: make(chan struct{})} }

func (n *fakeNews) Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error) {
	select {
	case t := <-n.told:
		return t.messages, &unix.SockaddrNetlink{Pid: t.from}, t.err
	case <-n.ended:
		return nil, nil, net.ErrClosed
	}
}

func (n *fakeNews) Close() { close(n.ended) }

// closed reports whether nobody listens any more.
func (n *fakeNews) closed() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// link says that something has happened to an interface.
func (n *fakeNews) link(kind uint16, index int) {
	data := make([]byte, 16)
	binary.NativeEndian.PutUint32(data[4:], uint32(index))
	n.told <- told{messages: []syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: kind}, Data: data}}}
}
