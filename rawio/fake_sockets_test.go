package rawio

import (
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

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
	k.wire.Lock()
	defer k.wire.Unlock()
	for _, l := range k.listeners {
		if slices.Contains(ports, l.Address.Port()) {
			list = append(list, l)
		}
	}
	return list, k.fails
}

func (k *fakeTable) List(ports []uint16) (map[segment.Flow]sockdiag.State, error) {
	k.mayWait("List")
	k.wire.Lock()
	k.lists++
	k.wire.Unlock()
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
	k.wire.Lock()
	defer k.wire.Unlock()
	k.watchers++
	return fakeWatcher{k}, nil
}

type fakeWatcher struct{ k *fakeTable }

func (w fakeWatcher) Close() error {
	w.k.wire.Lock()
	defer w.k.wire.Unlock()
	w.k.watchers--
	return nil
}

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
