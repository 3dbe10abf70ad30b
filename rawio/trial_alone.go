package rawio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
)

// TryHandshakes makes an engine's trials without an engine, at addresses where servers
// listen: it finds out whether the kernel answers handshakes in the names of clients, on each interface
// and for each address family. An address without a host means all of this host's. mark is that of
// the engine. While TryHandshakes runs, the interfaces have a gate with the id,
// see [Config], which passes all other packets. The owner of the id must end ctx when the
// process is asked to end. No engine may protect the ports.
func TryHandshakes(ctx context.Context, id string, at []netip.AddrPort, mark fwmark.Mark) (list []Handshake, err error) {
	var ports []uint16
	for _, a := range at {
		ports = append(ports, a.Port())
	}
	listeners, err := sockdiag.Listeners(ports)
	if err != nil || len(ports) == 0 || len(listeners) == 0 {
		return nil, err
	}
	t, err := openTry(ctx, id, mark)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	all, err := entrancesOf(listeners, t.guarded, func(a netip.AddrPort) bool {
		return slices.ContainsFunc(at, func(w netip.AddrPort) bool {
			host := w.Addr().Unmap().WithZone("")
			return w.Port() == a.Port() && (!host.IsValid() || host.IsUnspecified() || host == a.Addr())
		})
	})
	if err != nil {
		return nil, fmt.Errorf("rawio: list addresses: %w", err)
	}
	for e, server := range all {
		if err := ctx.Err(); err != nil {
			return list, err
		}
		h, err := t.try(e, func() (verdict, bool) {
			return t.any(e, t.names(e, server), server, t.gate.Attached)
		})
		if err != nil {
			return list, err
		}
		list = append(list, h)
	}
	return list, nil
}

// oneTry is a gate without an engine. The gate takes its engine for dead: it holds nothing but the
// packets of the handshake under way, whose flow is bound as a proof. A packet of it that leaves is
// redirected to ingress of the same interface, as a packet from the server's port to the client's. Both
// are the service's port, so that the gate looks the flow up, and holds the packet.
type oneTry struct {
	*handshaker
	gate    *kernel.Gate
	guarded map[int]string
	other   atomic.Bool // a packet other than a SYN-ACK was held
	failed  error       // error of hold
	read    chan struct{}
	cancel  context.CancelFunc
}

// tryFlows is how many flows are bound at a time: that of a handshake, and its reverse.
const tryFlows = 2

func openTry(ctx context.Context, id string, mark fwmark.Mark) (*oneTry, error) {
	g, err := kernel.Load(kernel.Config{ID: id, MaxConns: tryFlows, DeadAfter: gate.MinDeadAfter, Mark: mark.Value})
	if err != nil {
		return nil, fmt.Errorf("rawio: load the gate: %w", err)
	}
	t := &oneTry{gate: g, guarded: map[int]string{}, read: make(chan struct{})}
	ctx, t.cancel = context.WithCancel(ctx)
	t.handshaker = &handshaker{
		log: hclog.NewNullLogger(), table: kernelSockets{}, mark: mark.Value, closing: ctx.Done(), answer: make(chan struct{}, 1),
		hold: t.hold, free: t.free, refused: t.other.Load,
		clientPort: func(port uint16) uint16 { return port },
		known:      func(Flow) bool { return false },
		serves:     func(uint16) bool { return true },
	}
	go t.events(ctx)
	if err := t.open(ctx); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// open returns when the gate is attached and takes its engine for dead.
func (t *oneTry) open(ctx context.Context) (err error) {
	dead := time.After(2 * gate.MinDeadAfter)
	if err := t.attach(); err != nil {
		return err
	}
	i, err := openInjector(t.gate, routesHere)
	if err != nil {
		return err
	}
	t.inject = i
	select {
	case <-dead:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attach attaches the gate to the interfaces that are up.
func (t *oneTry) attach() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("rawio: list interfaces: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		if a.RawFlags&unix.IFF_UP != 0 && t.gate.Attach(a.Index) == nil {
			t.guarded[a.Index] = a.Name
		}
	}
	return nil
}

func (t *oneTry) close() error {
	t.cancel()
	<-t.read
	err := t.gate.Close()
	if t.inject != nil {
		err = errors.Join(err, t.inject.Close())
	}
	return err
}

// try calls f for an entrance while its port is a service of the gate.
func (t *oneTry) try(at entrance, f func() (verdict, bool)) (h Handshake, err error) {
	if err := t.gate.SetService(at.port, gate.ServiceListen, true); err != nil {
		return h, err
	}
	found, tried := f()
	if t.failed != nil {
		return h, t.failed
	}
	h = Handshake{
		Port: at.port, Interface: t.guarded[at.ifindex], Network: at.network(), Answered: found.kind == answered, Loopback: found.loopback,
		Reason: found.why, Since: time.Now(),
	}
	switch {
	case !tried:
		h.Untried, h.Reason = true, whyNoClient
	case found.kind == undecided:
		h.Untried, h.Reason = true, "the server takes no connection now, or its queue is full"
	}
	return h, t.gate.DeleteService(at.port)
}

func backwards(f Flow) Flow { return Flow{Client: f.Server, Server: f.Client} }

func (t *oneTry) hold(f Flow) error {
	t.other.Store(false)
	if err := errors.Join(t.gate.BindProof(f), t.gate.BindProof(backwards(f))); err != nil {
		t.failed = errors.Join(err, t.free(f))
	}
	return t.failed
}

func (t *oneTry) free(f Flow) error {
	return errors.Join(t.gate.Unbind(f), t.gate.Unbind(backwards(f)))
}

func (t *oneTry) events(ctx context.Context) {
	defer close(t.read)
	var (
		events [16]gate.Event
		dec    segment.Decoder
		s      segment.Segment
	)
	for {
		n, err := t.gate.Events().ReadBatch(ctx, events[:])
		if err != nil {
			return
		}
		for i := range events[:n] {
			ev := &events[i]
			if ev.Kind != gate.EventProofOut || dec.Decode(ev.Packet, segment.ChecksumTrusted, &s) != nil {
				continue
			}
			if s.Flags.Has(segment.SYN | segment.ACK) {
				t.answered(&s)
			} else {
				t.other.Store(true)
			}
		}
	}
}
