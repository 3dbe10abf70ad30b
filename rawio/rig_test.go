package rawio

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

const (
	rigPort = 7000
	rigLink = 4 // the interface that the client is behind
)

var (
	rigServer = netip.MustParseAddrPort("192.0.2.2:7000")
	rigClient = netip.MustParseAddrPort("192.0.2.1:40000")
	rigFlow   = Flow{Client: rigClient, Server: rigServer}
	// rigFlowKey is what the journal calls it.
	rigFlowKey = journal.Flow(rigFlow)
)

// rig is an engine on a host of fakes: the gate is its model, the TCP of both ends is
// rawiotest's, and the engine itself, its core, its log and its journals are real.
//
//	client ── tap, gate (ingress) ──► stack
//	client ◄── gate (egress) ──────── stack
//	client ◄── injector ──► stack
//
// Nothing happens unless a test says so: work has the engine do what there is to do.
type rig struct {
	*Engine
	t       *testing.T
	model   *modelGate
	tapped  *fakeTap
	sent    *fakeInjector
	kernel  *fakeTable
	clock   *rawiotest.Clock
	stack   *rawiotest.Stack // of the host
	client  *rawiotest.Stack
	journal *journal.Journal
	north   *journal.Map // the server process's
	record  *journal.Record
	said    bytes.Buffer // the log of messages
	told    []Report
	// drop, if not nil, says which packets into the stack are lost behind the engine: a rule set.
	drop func(s *segment.Segment, device int) bool
}

// newRig returns one with a memory log, or another one.
func newRig(t *testing.T, log logserver.Log) *rig {
	t.Helper()
	if log == nil {
		m, err := memory.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		log = m
	}
	r := &rig{t: t, clock: rawiotest.NewClock(), model: newModelGate(), tapped: newFakeTap()}
	r.stack = rawiotest.NewStack(r.clock, rawiotest.Config{Seed: 1, Output: r.leaves, ReceiveBuffer: 1 << 20, WScale: 7})
	r.client = rawiotest.NewStack(r.clock, rawiotest.Config{Seed: 2, Output: r.arrives})
	r.sent, r.kernel = &fakeInjector{r: r}, &fakeTable{stack: r.stack}
	var err error
	if r.journal, err = journal.Create(8, 64); err != nil {
		t.Fatal(err)
	}
	if r.north, err = journal.Open(r.journal.Fd()); err != nil {
		t.Fatal(err)
	}
	r.opens(Config{Log: log})
	t.Cleanup(func() {
		_ = r.Close()
		_ = r.journal.Close()
		_ = log.Close()
	})
	return r
}

// opens makes the engine, or the next one: the one before does nothing any more.
func (r *rig) opens(cfg Config) {
	r.t.Helper()
	cfg.ID, cfg.MaxConns, cfg.Reports = "00000001", 8, func(rep Report) { r.told = append(r.told, rep) }
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: &r.said, DisableTime: true, Level: hclog.Debug})
	e := newEngine(cfg)
	e.gate, e.reports, e.captures, e.tap, e.inject, e.table = r.model, r.model, r.model, r.tapped, r.sent, r.kernel
	e.links = &links{all: map[int]*guarded{rigLink: {index: rigLink, name: "eth0"}}, kick: make(chan struct{}, 1)}
	e.addresses.at, e.addresses.list = time.Now().Add(24*time.Hour), map[netip.Addr]bool{rigServer.Addr(): true}
	r.Engine = e
	r.model.Now = func() uint64 { return uint64(e.env.Now()) }
	if err := e.assemble(); err != nil {
		r.t.Fatal(err)
	}
}

// protects begins to protect the port, with the journal.
func (r *rig) protects() {
	r.t.Helper()
	if err := r.Protect(Service{Port: rigPort, Name: "rig", Journal: r.journal}); err != nil {
		r.t.Fatal(err)
	}
}

// encoded is a segment of a stack as a packet.
func (r *rig) encoded(p *rawiotest.Packet) []byte {
	b, err := p.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *rig) decoded(b []byte) *segment.Segment {
	var (
		dec segment.Decoder
		s   segment.Segment
	)
	if err := dec.Decode(b, segment.ChecksumVerify, &s); err != nil {
		r.t.Fatal(err)
	}
	s.Payload = bytes.Clone(s.Payload)
	return &s
}

// arrives takes a packet of the client's from the network.
func (r *rig) arrives(p *rawiotest.Packet) {
	b := r.encoded(p)
	if r.model.Tap(b, 0) {
		r.tapped.queue = append(r.tapped.queue, bytes.Clone(b))
	}
	if r.model.Ingress(b, 0) == gatetest.Pass {
		r.stack.Input(&rawiotest.Packet{Segment: *r.decoded(b)})
	}
}

// leaves takes a packet of the host's to the network.
func (r *rig) leaves(p *rawiotest.Packet) {
	b := r.encoded(p)
	if r.model.Egress(b, p.Priority) == gatetest.Pass {
		r.client.Input(&rawiotest.Packet{Segment: *r.decoded(b)})
	}
}

// work has the engine take what there is, until there is nothing more.
func (r *rig) work() {
	r.t.Helper()
	for range 100 {
		if len(r.tapped.queue) == 0 && !r.model.pending() {
			return
		}
		if _, err := r.catchUp(); err != nil {
			r.t.Fatal(err)
		}
	}
	r.t.Fatal("the engine does not come to rest")
}

// serve starts a server process that listens.
func (r *rig) serve() (*rawiotest.Process, *rawiotest.Listener) {
	r.t.Helper()
	p := r.stack.NewProcess()
	l, err := p.Listen(rigServer)
	if err != nil {
		r.t.Fatal(err)
	}
	r.kernel.listens(rigServer, l)
	return p, l
}

// connect has the client dial, and the server accept, which records that.
func (r *rig) connect(l *rawiotest.Listener) (client, server *rawiotest.Socket) {
	r.t.Helper()
	client, err := r.client.NewProcess().Connect(rigClient, rigServer)
	if err != nil {
		r.t.Fatal(err)
	}
	r.work()
	if server = l.Accept(); server == nil || client.State() != rawiotest.Established {
		r.t.Fatalf("the client is in %v, and the server has %v", client.State(), server)
	}
	var ok bool
	if r.record, ok = r.north.Lookup(rigFlowKey); !ok || !r.record.Accept(policy.CompareStrict) {
		r.t.Fatal("the journal does not have the connection")
	}
	return client, server
}

// says has the client send something.
func (r *rig) says(client *rawiotest.Socket, p []byte) {
	r.t.Helper()
	if n, err := client.Send(p); n != len(p) || err != nil {
		r.t.Fatalf("sent %d of %d: %v", n, len(p), err)
	}
	r.work()
}

// conn is what the status says of the connection; nil: nothing.
func (r *rig) conn() *Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.machine.Conn(rigFlow)
	if c == nil {
		return nil
	}
	out := r.connection(c, r.machine.Now())
	return &out
}

func (r *rig) state(port uint16) gate.ServiceState { return r.model.services[port] }

// fakeTap has packets to be read.
type fakeTap struct {
	queue  [][]byte
	splits int // packets that were read where they are to stay
	closed bool
}

func newFakeTap() *fakeTap { return &fakeTap{} }

var errNoWait = errors.New("tests do not wait for packets")

func (t *fakeTap) Wait(...int) error                 { return errNoWait }
func (t *fakeTap) Pause(time.Duration, ...int) error { return errNoWait }
func (t *fakeTap) Drops() (uint64, error)            { return 0, nil }
func (t *fakeTap) Close() error                      { t.closed = true; return nil }

func (t *fakeTap) TryReadBatch(b *tap.Batch) (int, error) {
	b.Packets = b.Packets[:0]
	for len(t.queue) > 0 && len(b.Packets) < tapBatch {
		b.Packets = append(b.Packets, tap.Packet{Data: t.queue[0], Time: time.Now().UnixNano(), IfIndex: rigLink})
		t.queue = t.queue[1:]
	}
	return len(b.Packets), nil
}

func (t *fakeTap) TryReadSplit(b *tap.Batch, header int, rest []byte) (int, error) {
	b.Packets = b.Packets[:0]
	if len(t.queue) == 0 {
		return 0, nil
	}
	p := tap.Packet{Data: t.queue[0], Time: time.Now().UnixNano(), IfIndex: rigLink}
	t.queue = t.queue[1:]
	if len(p.Data) > header && len(p.Data) <= header+len(rest) {
		p.Rest = rest[:copy(rest, p.Data[header:])]
		p.Data = p.Data[:header:header]
		t.splits++
	}
	b.Packets = append(b.Packets, p)
	return 1, nil
}

// fakeInjector brings packets to where they go, past gate and tap.
type fakeInjector struct {
	r        *rig
	toServer []inject.Packet
	fails    error // of packets to the client
	closed   bool
}

func (i *fakeInjector) Room(int) int { return 1 << 16 }
func (i *fakeInjector) Close() error { i.closed = true; return nil }

func (i *fakeInjector) ToServer(p inject.Packet) error {
	p.Data = bytes.Clone(p.Data)
	i.toServer = append(i.toServer, p)
	s := i.r.decoded(p.Data)
	if i.r.drop == nil || !i.r.drop(s, p.Way.Device) {
		i.r.stack.Input(&rawiotest.Packet{Segment: *s})
	}
	return nil
}

func (i *fakeInjector) ToClient(packets []inject.Packet) (int, error) {
	for n, p := range packets {
		if err := i.fails; err != nil {
			i.fails = nil
			return n, err
		}
		i.r.client.Input(&rawiotest.Packet{Segment: *i.r.decoded(p.Data)})
	}
	return len(packets), nil
}
