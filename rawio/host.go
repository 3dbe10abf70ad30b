package rawio

import (
	"context"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

// What an engine uses of its host. Each interface has one implementation outside of tests, which documents
// the methods.

// packetGate is a *kernel.Gate.
type packetGate interface {
	connGate
	serviceGate
	linkGate
	senderGate
	heart
	Stats() (gate.Stats, error)
	Pins() kernel.Pins
	MendPins() (was, err error)
	MendReleases() (was, err error)
	Close() error
}

// connGate is a packetGate's part for connections.
type connGate interface {
	Slot(i uint32) *gate.Slot
	MaxConns() int
	Bind(flow segment.Flow, slot uint32) error
}

// serviceGate is a packetGate's part for services.
type serviceGate interface {
	SetService(port uint16, state gate.ServiceState, unmodified bool) error
	DeleteService(port uint16) error
	Services() ([]gate.Service, error)
	SetTransparent(port uint16, transparent bool) error
	Transparent(port uint16) (bool, error)
	Aliases() (map[uint16]uint16, error)
	WatchReleases() error
}

// linkGate is a packetGate's part for interfaces.
type linkGate interface {
	attachments
	Attach(ifindex int) error
	Detach(ifindex int) error
	Mend(ifindex int) (was, err error)
	Overtaken(ifindex int) bool
	BindProof(flow segment.Flow) error
	Unbind(flow segment.Flow) error
}

// linkTable is the kernel's table of interfaces: a *netlink.Handle. It may wait for the kernel's
// rtnl lock, so it is not called with the engine's lock held.
type linkTable interface {
	LinkByName(name string) (netlink.Link, error)
	LinkByIndex(index int) (netlink.Link, error)
	LinkList() ([]netlink.Link, error)
	Close()
}

// attachments reports on which interfaces a packetGate is.
type attachments interface {
	Attached(ifindex int) bool
}

// senderGate is a packetGate's part for the engine's own sockets.
type senderGate interface {
	attachments
	AddSender(cookie uint64, s gate.Sender) error
	RemoveSender(cookie uint64) error
}

// eventReader is a *kernel.EventReader.
type eventReader interface {
	FD() int
	TryReadBatch(events []gate.Event) (int, error)
}

// outputReader is a *kernel.OutputReader.
type outputReader interface {
	ReadBatch(ctx context.Context, outputs []gate.Output) (int, error)
}

// packetTap is a *tap.Tap.
type packetTap interface {
	Wait(others ...int) error
	Pause(d time.Duration, descriptors ...int) error
	TryReadBatch(b *tap.Batch) (int, error)
	TryReadSplit(b *tap.Batch, header int, rest []byte) (int, error)
	Drops() (uint64, error)
	Close() error
}

// injector is an *inject.Injector.
type injector interface {
	ToServer(p inject.Packet) error
	ToClient(packets []inject.Packet) (n int, err error)
	Room(device int) int
	Close() error
}

// proofSocket sends packets unchanged on interfaces: an AF_PACKET socket.
type proofSocket interface {
	Send(packet []byte, to *unix.SockaddrLinklayer) error
	Close() error
}

// socketTable is the kernel's table of TCP sockets: package sockdiag.
type socketTable interface {
	Listeners(ports []uint16) ([]sockdiag.Listener, error)
	List(ports []uint16) (map[segment.Flow]sockdiag.State, error)
	Sockets(ports []uint16) ([]sockdiag.Socket, error)
	Progress(ports []uint16) (map[segment.Flow]sockdiag.Bytes, error)
	Destroy(flow segment.Flow, devices ...int) error
	Watch() (socketWatcher, error)
}

// socketWatcher is a *sockdiag.Watcher.
type socketWatcher interface {
	State(flow segment.Flow, devices ...int) (sockdiag.State, error)
	Progress(flow segment.Flow, devices ...int) (sockdiag.Bytes, error)
	Room(port uint16) (int, error)
	Sockets(ports []uint16, f func(*sockdiag.Socket)) error
	Close() error
}

// kernelSockets is this host's socketTable.
type kernelSockets struct{}

func (kernelSockets) Listeners(ports []uint16) ([]sockdiag.Listener, error) {
	return sockdiag.Listeners(ports)
}

func (kernelSockets) List(ports []uint16) (map[segment.Flow]sockdiag.State, error) {
	return sockdiag.List(ports)
}

func (kernelSockets) Sockets(ports []uint16) ([]sockdiag.Socket, error) {
	return sockdiag.Sockets(ports)
}

func (kernelSockets) Progress(ports []uint16) (map[segment.Flow]sockdiag.Bytes, error) {
	return sockdiag.Progress(ports)
}

func (kernelSockets) Destroy(flow segment.Flow, devices ...int) error {
	return sockdiag.Destroy(flow, devices...)
}

func (kernelSockets) Watch() (socketWatcher, error) {
	w, err := sockdiag.Watch()
	if err != nil {
		return nil, err
	}
	return w, nil
}
