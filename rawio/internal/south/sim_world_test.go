package south_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// world is one run of the simulation:
//
//	client stack ── network ──┬─ tap ─ queue ─► core ◄─ queue ─ events
//	                          └─ gate (model) ── server stack ── server process
//
// The engine's queues delay what they carry, each on its own, as its threads
// would. All that happens follows from the plan's seed.
type world struct {
	plan  plan
	rand  *rand.Rand
	clock *rawiotest.Clock
	net   *rawiotest.Network

	client, server *rawiotest.Stack
	gate           *gatetest.Model
	env            *fakeEnv
	log            logserver.Log
	late           *lateLog // the same, if the plan says so
	machine        *south.Machine

	tapped  []tapped
	events  []gate.Event
	upcalls []logserver.Upcall
	waking  bool
	outputs []gate.Output
	reading bool

	process   *process
	starts    int
	acceptSeq uint64
	dialler   *rawiotest.Process
	clients   []*clientApp
	flows     map[segment.Flow]*flow

	failure string
	trace   []string
	steps   int
	crashes int
	cookies int  // SYN-ACKs without a socket
	atRest  bool // every client is done

	jumped time.Duration // of the engine's clock, so far

	unprotected bool // some connection is: the server must not crash any more

	cfg      south.Config
	down     bool // there is no engine
	hostDown bool
	engines  int // that are gone
	hosts    int
}

type tapped struct {
	s *segment.Segment
	t int64
}

// flow is what the checks know of one connection.
type flow struct {
	app      *clientApp
	irs, iss uint32
	synacks  int   // that have left and were not lost
	stable   int64 // told by upcalls
	fin      bool
	open     bool // it goes on without protection
	reset    bool // a RST has left: a cookie's first segment may begin another connection

	heard     []heard       // if the plan is prompt
	missed    []missed      // what the client has said, each time that the tap did not see it
	mislaid   []missed      // each time that the network has lost it
	recovered time.Duration // since the world began: the last time
	came      time.Duration // since the world began: when the log had the newest of its bytes
}

// missed is a segment that somebody did not see.
type missed struct {
	segment.Block
	at time.Duration // since the world began
}

func (m *missed) says(seq uint32) bool { return seqnum.LEQ(m.Left, seq) && seqnum.Less(seq, m.Right) }

const (
	epoch      = int64(1e18) // of the engine's clock
	serverPort = 7000
)

var serverAddr = netip.MustParseAddrPort("10.0.0.1:7000")

func newWorld(p plan) *world {
	w := &world{
		plan: p, rand: rand.New(rand.NewPCG(p.seed, 0x736f757468)), clock: rawiotest.NewClock(),
		gate: gatetest.NewModel(64), flows: map[segment.Flow]*flow{},
	}
	w.gate.Now = func() uint64 { return uint64(w.now()) }
	w.net = rawiotest.NewNetwork(w.clock, p.seed, p.impairment)
	w.net.Trace = func(what string, g *rawiotest.Packet) {
		if what == "lose" {
			w.note("lost       %v", &g.Segment)
			w.lost(g)
		}
	}
	client := p.stack
	client.Seed, client.Output = p.seed+1, func(g *rawiotest.Packet) { w.net.Send(g, w.arrive) }
	w.client = rawiotest.NewStack(w.clock, client)
	w.bootServer()
	w.dialler = w.client.NewProcess()

	w.log = w.openLog()
	if err := w.log.RegisterService(serverPort); err != nil {
		panic(err)
	}
	w.log.SetUpcall(w.upcall)
	w.env = &fakeEnv{
		ending: func() bool { return w.process != nil && w.process.dead },
		now:    w.now, gate: w.gate, heads: map[uint32]*head{},
		toClient: func(s *segment.Segment) {
			w.checkTaken(s)
			w.toClient(&rawiotest.Packet{Segment: *s}, "core")
		},
		toServer: func(s *segment.Segment) {
			w.note("core->srv  %v", s)
			if slow := w.plan.queue.slow; slow > 0 {
				w.clock.After(slow, func() { w.server.Input(&rawiotest.Packet{Segment: *s}) })
				return
			}
			w.server.Input(&rawiotest.Packet{Segment: *s})
		},
		destroy: func(f segment.Flow) {
			w.displaced(f)
			err := w.server.Destroy(f.Server, f.Client)
			w.note("destroy    %v %v", f.Client, err)
		},
		report: w.report, fetch: w.fetch, socket: w.socket, progress: w.progress, room: w.room,
		note: func(format string, args ...any) { w.note(format, args...) },
	}
	w.cfg = surround(south.Config{
		Lasting: len(p.engine) > 0,
		Log:     w.log, MaxConns: 64, Window: p.window, Captures: p.wire.captures, Linger: int64(5 * time.Minute), // RTOs are long at 5 % loss
		Trace: func(c *south.Conn, stable uint32) { w.checkStable(c, stable) },
	}, w.env)
	w.machine = south.New(w.cfg)
	w.protect()
	w.tick()
	for _, j := range p.jumps {
		w.clock.After(j.at, func() { w.jumped += j.by })
	}
	return w
}

func (w *world) protect() { w.machine.Protect(serverPort, w.service()) }

func (w *world) service() south.Service {
	s := south.Service{Unmodified: w.plan.unmodified, Compare: w.plan.wire.compare}
	if p := w.plan.log; p != nil {
		s.LogDown, s.DownAfter = p.policy, int64(p.after)
	}
	return s
}

func (w *world) openLog() logserver.Log {
	if p := w.plan.log; p != nil {
		w.late = newLateLog(w, p)
		return w.late
	}
	mem, err := memory.New(nil)
	if err != nil {
		panic(err)
	}
	return mem
}

func (w *world) fetch(slot, gen uint32, id logserver.ConnID, off int64, n int) {
	if w.late == nil {
		w.fail("a log in memory is read with Fetch")
		return
	}
	w.late.fetch(slot, gen, id, off, n)
}

func (w *world) now() int64 { return epoch + int64(w.clock.Now()+w.jumped) }

// note adds a line to the trace, of which the end is kept.
func (w *world) note(format string, args ...any) {
	if !w.plan.traced {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf("%12v %s", w.clock.Now(), fmt.Sprintf(format, args...)))
}

func (w *world) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		w.note("FAILURE: %s", w.failure)
	}
}

func (w *world) delay(limit time.Duration) time.Duration {
	return time.Duration(w.rand.Int64N(int64(limit) + 1))
}

// report2 queues what the gate reports.
func (w *world) report2() {
	if w.down { // nobody looks
		w.gate.TakeEvents()
		w.gate.TakeOutputs()
		return
	}
	if ev := w.gate.TakeEvents(); len(ev) > 0 {
		w.events = append(w.events, ev...)
		w.wake()
	}
	if o := w.gate.TakeOutputs(); len(o) > 0 {
		w.outputs = append(w.outputs, o...)
		w.wakeOutputs()
	}
}

// wake lets the engine look at its queues, a little later.
func (w *world) wake() {
	if w.down {
		w.tapped, w.events = nil, nil
		return
	}
	if w.waking {
		return
	}
	w.waking = true
	w.clock.After(w.delay(w.plan.engineDelay), func() {
		w.waking = false
		first := w.rand.IntN(2) == 0
		if first {
			w.takeEvents()
		}
		w.do(func() {
			t := w.tapped
			w.tapped = nil
			for _, x := range t {
				w.machine.Segment(x.s, x.t)
			}
		})
		if !first {
			w.takeEvents()
		}
	})
}

func (w *world) takeEvents() {
	w.do(func() {
		ev := w.events
		w.events = nil
		for i := range ev {
			w.note("event      %v", ev[i].Kind)
			deliver(w.machine, &ev[i])
		}
	})
}

// do is Engine.do.
func (w *world) do(f func()) {
	if w.down {
		return
	}
	f()
	for {
		if w.plan.logDelay == 0 && len(w.upcalls) > 0 {
			w.takeUpcalls()
		}
		w.machine.Flush()
		if w.plan.logDelay > 0 || len(w.upcalls) == 0 {
			return
		}
	}
}

func (w *world) upcall(u []logserver.Upcall) {
	first := len(w.upcalls) == 0
	w.upcalls = append(w.upcalls, u...)
	if w.plan.logDelay > 0 && first {
		w.clock.After(w.delay(w.plan.logDelay), func() { w.do(w.takeUpcalls) })
	}
}

func (w *world) takeUpcalls() {
	list := w.upcalls
	w.upcalls = nil
	for _, u := range list {
		c := w.machine.BySlot(uint32(u.Tag))
		if c == nil || c.Generation() != uint32(u.Tag>>32) {
			continue
		}
		f := w.flows[c.Flow]
		if u.Stable > f.stable {
			f.stable, f.came = u.Stable, w.clock.Now()
		}
		f.fin = f.fin || u.Fin
	}
	w.machine.Stable(list)
}

func (w *world) tick() {
	period := 200 * time.Millisecond
	switch {
	case w.machine.Busy():
		period = 10 * time.Millisecond
	case w.atRest && !w.plan.blind(): // else ticks count what a client repeats unseen: as often as the engine's
		period = 500 * time.Millisecond
	}
	w.clock.After(period, func() {
		w.do(w.machine.Tick)
		w.tick()
	})
}

// goesOpen takes note that a connection goes on without protection.
func (w *world) goesOpen(f *flow) {
	f.open = true
	w.unprotected = true
	// What the core does not know yet, nothing can prevent.
	f.app.exposed = f.app.exposed || w.process == nil || w.process.dead
}

func (w *world) report(r south.Report) {
	w.note("report     %d %v %s", r.Kind, r.Flow.Client, r.Reason)
	f := w.flows[r.Flow]
	switch r.Kind {
	case south.ConnReset, south.ConnMismatch:
		if w.vain(f, &r) {
			f.app.exposed = true
			break
		}
		if (!w.plan.unmodified || f == nil || !f.app.mayReset()) && (f == nil || !w.ghost(f.app)) {
			w.fail("%v: report %d: %s", r.Flow.Client, r.Kind, r.Reason)
		}
	case south.ConnRecovered:
		if f != nil {
			f.recovered = w.clock.Now()
		}
	case south.ConnUnprotected:
		if !w.mayLetGo(f, &r) {
			w.fail("%v: report %d: %s", r.Flow.Client, r.Kind, r.Reason)
			break
		}
		w.goesOpen(f)
	case south.QuotaFull:
		if w.plan.log == nil || len(w.plan.log.full) == 0 {
			w.fail("%v: report %d: %s", r.Flow.Client, r.Kind, r.Reason)
		}
	case south.SYNRefused:
		w.fail("%v: report %d: %s", r.Flow.Client, r.Kind, r.Reason)
	case south.ConnClosed:
		if f != nil && !f.app.mayReset() && !f.app.done && !strings.HasPrefix(r.Reason, "closed") {
			w.fail("%v: ended: %s", r.Flow.Client, r.Reason)
		}
	}
}

func limit(irs uint32, stable int64, fin bool) uint32 {
	n := irs + 1 + uint32(stable)
	if fin {
		n++
	}
	return n
}
