package rawio

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
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
	host    *fakeLinks // its interfaces
	news    *fakeNews  // of these
	proofs  *fakeProofs
	loops   bool       // the engine's loops run: work waits for them
	wire    sync.Mutex // guards the stacks, where these do
	clock   *rawiotest.Clock
	stack   *rawiotest.Stack   // of the host
	next    *rawiotest.Process // the newest server
	client  *rawiotest.Stack
	journal *journal.Journal
	north   *journal.Map // the server process's
	record  *journal.Record
	said    said // the log of messages
	told    []Report
	// drop, if not nil, says which packets into the stack are lost behind the engine: a rule set.
	drop func(s *segment.Segment, device int) bool
}

// said is a log of messages; any goroutine may write to it.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *said) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
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
	r.stack = rawiotest.NewStack(r.clock, rawiotest.Config{Seed: 1, Output: r.leaves, Release: r.released, ReceiveBuffer: 1 << 20, WScale: 7})
	r.client = rawiotest.NewStack(r.clock, rawiotest.Config{Seed: 2, Output: r.arrives})
	r.model.reports, r.tapped.pending = r.tapped.reports, func() bool { return r.model.pending() }
	r.sent, r.kernel, r.host = &fakeInjector{r: r}, &fakeTable{stack: r.stack, wire: &r.wire}, newFakeLinks()
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
	if r.Engine != nil {
		r.links.close()
	}
	r.news, e.links = newFakeNews(), &links{
		all: map[int]*guarded{rigLink: {index: rigLink, name: "eth0"}}, reported: map[int]string{}, wakeup: make(chan struct{}, 1), nl: r.host,
		linksConfig: linksConfig{gate: r.model, log: e.log, changed: e.guarded, catchUp: e.catchUp},
	}
	e.links.news = &linkNews{wake: make(chan struct{}, 1), all: map[int]linkChange{}}
	e.links.news.news = readNews(r.news, e.links.news.note)
	r.proofs = &fakeProofs{modelGate: r.model}
	e.links.prover.gate, e.links.prover.via = r.model, r.proofs
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
		r.tapped.gets(bytes.Clone(b))
	}
	if r.model.Ingress(b, 0) == gatetest.Pass {
		r.stack.Input(&rawiotest.Packet{Segment: *r.decoded(b)})
	}
}

// released is what happens when a process lets go of its socket.
func (r *rig) released(s *rawiotest.Socket) {
	r.model.Release(Flow{Client: s.RemoteAddr(), Server: s.LocalAddr()})
}

// leaves takes a packet of the host's to the network.
func (r *rig) leaves(p *rawiotest.Packet) {
	b := r.encoded(p)
	if r.model.Egress(b, p.Priority) == gatetest.Pass {
		r.client.Input(&rawiotest.Packet{Segment: *r.decoded(b)})
	}
}

// work has the engine take what there is, until there is nothing more. Where the engine's loops run,
// which takes a synctest bubble, it gives them the time for that.
func (r *rig) work() {
	r.t.Helper()
	if r.loops {
		r.pass(2 * ackPause)
		return
	}
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

// pass lets time pass for the engine's loops and for both ends.
func (r *rig) pass(d time.Duration) {
	const most = 5 * time.Millisecond
	for d > 0 {
		step := min(d, most)
		d -= step
		r.sleep(step)
		r.act(func() { r.clock.Run(step, nil) })
	}
	r.sleep(0)
}

// sleep lets time pass for the engine's loops alone. What the test has set before they see, and
// what they have set the test sees: synctest.Wait orders only the latter.
func (r *rig) sleep(d time.Duration) {
	for _, mu := range []sync.Locker{&r.mu, &r.wire, &r.model.mu, &r.tapped.mu, &r.host.mu} {
		mu.Lock()
		//lint:ignore SA2001 whoever takes it next comes after the test
		mu.Unlock()
	}
	time.Sleep(d)
	synctest.Wait()
}

// act has somebody at one of the ends do something.
func (r *rig) act(f func()) {
	r.wire.Lock()
	defer r.wire.Unlock()
	f()
}

// serve starts a server process that listens.
func (r *rig) serve() (*rawiotest.Process, *rawiotest.Listener) {
	r.t.Helper()
	return r.serveAt(rigServer)
}

func (r *rig) serveAt(at netip.AddrPort) (p *rawiotest.Process, listener *rawiotest.Listener) {
	r.t.Helper()
	r.act(func() {
		r.next = r.stack.NewProcess()
		l, err := r.next.Listen(at)
		if err != nil {
			r.t.Fatal(err)
		}
		r.kernel.listens(at, l)
		listener = l
	})
	return r.next, listener
}

// connect has the client dial, and the server accept, which records that.
func (r *rig) connect(l *rawiotest.Listener) (client, server *rawiotest.Socket) {
	r.t.Helper()
	client, server = r.dials(l)
	var ok bool
	if r.record, ok = r.north.Lookup(rigFlowKey); !ok || !r.record.Accept(policy.CompareStrict) {
		r.t.Fatal("the journal does not have the connection")
	}
	return client, server
}

// dials has the client connect, and the server accept, without a north side.
func (r *rig) dials(l *rawiotest.Listener) (client, server *rawiotest.Socket) {
	r.t.Helper()
	client = r.dialsFrom(rigClient)
	r.work()
	if server = l.Accept(); server == nil || client.State() != rawiotest.Established {
		r.t.Fatalf("the client is in %v, and the server has %v", client.State(), server)
	}
	return client, server
}

// dialsFrom has a client begin to connect.
func (r *rig) dialsFrom(at netip.AddrPort) (client *rawiotest.Socket) {
	r.t.Helper()
	r.act(func() {
		var err error
		if client, err = r.client.NewProcess().Connect(at, rigServer); err != nil {
			r.t.Fatal(err)
		}
	})
	return client
}

// sends has one end send something.
func (r *rig) sends(from *rawiotest.Socket, p []byte) {
	r.t.Helper()
	r.act(func() {
		if n, err := from.Send(p); n != len(p) || err != nil {
			r.t.Fatalf("sent %d of %d: %v", n, len(p), err)
		}
	})
}

// hears returns what one end gets.
func (r *rig) hears(at *rawiotest.Socket) string {
	p, n := make([]byte, 100), 0
	r.act(func() { n, _ = at.Recv(p) })
	return string(p[:n])
}

// says has the client send something, and the engine work.
func (r *rig) says(client *rawiotest.Socket, p []byte) {
	r.t.Helper()
	r.sends(client, p)
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
