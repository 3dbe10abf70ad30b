package rawio

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

const (
	unseenPort = 7000
	unseenLink = 4 // the interface that all sockets are bound to
)

var errList = errors.New("given up")

// unseenRig is an engine without a network: what the kernel has is a list, the gate its
// model.
type unseenRig struct {
	*environment
	t       testing.TB
	e       *Engine
	model   *gatetest.Model
	sockets []sockdiag.Socket
	fails   int // after so many sockets the list is given up; -1: it is not
	entry   func(Flow) (conntrack.Entry, error)
	ahead   time.Duration // of the time is the core's clock
	told    []string      // what the core has reported of connections that are not protected
}

func newUnseenRig(t testing.TB, conns uint32) *unseenRig {
	log, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	e := &Engine{cfg: Config{Log: log}, log: hclog.NewNullLogger(), ports: map[uint16]*Service{}, unseen: newUnseen(), trials: newTrials()}
	r := &unseenRig{t: t, e: e, environment: newEnvironment(e), model: gatetest.NewModel(int(conns)), fails: -1}
	r.entry = func(Flow) (conntrack.Entry, error) { return conntrack.Entry{}, conntrack.ErrNotFound }
	e.env = r.environment
	e.upcalls.wake = make(chan struct{}, 1)
	log.SetUpcall(e.upcall)
	e.machine = south.New(south.Config{
		Strict: true, Log: log, Network: r, Gate: r, Record: r, Kernel: r, Report: r.Report, MaxConns: conns,
	})
	e.unseen.waits = 0
	e.links = &links{all: map[int]*guarded{unseenLink: {}}}
	e.unseen.atGate = func() (map[uint16]uint16, error) { return nil, nil }
	e.unseen.tracked = func(f Flow) (conntrack.Entry, error) { return r.entry(f) }
	e.unseen.list = func(ports []uint16, f func(*sockdiag.Socket)) error {
		for i := range r.sockets {
			if i == r.fails {
				return errList
			}
			if s := &r.sockets[i]; slices.Contains(ports, s.Flow.Server.Port()) {
				f(s)
			}
		}
		return nil
	}
	return r
}

func (r *unseenRig) Now() int64 { return time.Now().Add(r.ahead).UnixNano() }

// What the core wants of its environment beside.
func (r *unseenRig) SetService(uint16, bool, bool)      {}
func (r *unseenRig) HoldService(uint16, bool)           {}
func (r *unseenRig) Slot(i uint32) *gate.Slot           { return r.model.Slot(i) }
func (r *unseenRig) Bind(f Flow, slot uint32) error     { return r.model.Bind(f, slot) }
func (r *unseenRig) Unbind(f Flow)                      { _ = r.model.Unbind(f) }
func (r *unseenRig) Publish(uint32, uint32, Flow) error { return nil }
func (r *unseenRig) Withdraw(uint32)                    {}
func (r *unseenRig) Head(uint32) south.Head             { return south.Head{} }
func (r *unseenRig) ToClient(*segment.Segment)          {}
func (r *unseenRig) Forward([]byte)                     {}
func (r *unseenRig) Destroy(Flow)                       {}
func (r *unseenRig) Socket(Flow) south.SocketState      { return south.SocketOpen }
func (r *unseenRig) Ending(uint16) bool                 { return false }
func (r *unseenRig) Local(netip.AddrPort) bool          { return true }

func (r *unseenRig) Report(rep south.Report) {
	r.e.unseen.note(&rep)
	if rep.Kind == south.ConnUnprotected {
		r.told = append(r.told, fmt.Sprintf("%d %s", rep.Flow.Client.Port(), rep.Reason))
	}
}

func (r *unseenRig) protect(log policy.Log) {
	r.t.Helper()
	old := r.e.ports[unseenPort]
	s := Service{Port: unseenPort, Journal: new(journal.Journal), LogPolicy: log}
	if old != nil {
		s.Journal = old.Journal
	}
	if err := r.e.Protect(s); err != nil {
		r.t.Fatal(err)
	}
}

func unseenFlow(client uint16) Flow {
	return Flow{
		Client: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), client),
		Server: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.2"), unseenPort),
	}
}

// has makes a socket of a client's port in a state the next one of the kernel's list.
func (r *unseenRig) has(client uint16, state sockdiag.State) {
	r.sockets = append(r.sockets, sockdiag.Socket{Flow: unseenFlow(client), State: state, Cookie: uint64(client), Inode: 1, Interface: unseenLink})
}

// look looks, and wants to be told something.
func (r *unseenRig) look(want ...string) {
	r.t.Helper()
	r.e.unseen.look.Lock()
	r.e.lookAtAll([]uint16{unseenPort}, nil)
	r.e.unseen.look.Unlock()
	r.expect(want...)
}

func (r *unseenRig) expect(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.told, want) {
		r.t.Errorf("told (-want +got)\n%s", cmp.Diff(want, r.told))
	}
	r.told = nil
}

// why is what the status says of a client's connection.
func (r *unseenRig) why(client uint16) string {
	for i := range r.sockets {
		if s := &r.sockets[i]; s.Flow == unseenFlow(client) {
			return r.e.unprotected(s)
		}
	}
	return ""
}

// handshake has the core see a connection begin; seen is how it hears of the SYN-ACK.
func (r *unseenRig) handshake(client uint16, seen gate.EventKind) {
	f := unseenFlow(client)
	syn := segment.Segment{Src: f.Client, Dst: f.Server, Seq: 1000, Flags: segment.SYN, Window: 500}
	synack := segment.Segment{Src: f.Server, Dst: f.Client, Seq: 5000, Ack: 1001, Flags: segment.SYN | segment.ACK, Window: 500}
	packet, err := synack.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.e.do(func(m *south.Machine) {
		m.Segment(&syn, r.Now())
		m.Event(seen, &synack, 1, packet, r.Now())
	})
}

// answered has the core see the client's answer.
func (r *unseenRig) answered(client uint16) {
	f := unseenFlow(client)
	ack := segment.Segment{Src: f.Client, Dst: f.Server, Seq: 1001, Ack: 5001, Flags: segment.ACK, Window: 500}
	r.e.do(func(m *south.Machine) { m.Segment(&ack, r.Now()) })
}
