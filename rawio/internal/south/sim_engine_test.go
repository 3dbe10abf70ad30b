package south_test

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// The simulation of an engine that goes: core, gate and journal are thrown away
// with the server's process, and the host's TCP as well if it is a reboot. The
// log stays. What the old gate holds goes on being held until the new engine has
// taken over, as in the kernel; a host that is down loses what arrives.

// engineCrash is the death of the engine and of its server.
type engineCrash struct {
	at     time.Duration
	pause  time.Duration // until another engine takes over
	start  time.Duration // from then until the server starts
	reboot bool
	alone  bool // the server lives on
}

func randomEnginePlan(seed uint64) plan {
	p := randomPlan(seed)
	r := rand.New(rand.NewPCG(seed, 0x656e67696e65))
	up := upTo(r)
	for range 1 + r.IntN(5) {
		c := engineCrash{at: up(800 * time.Millisecond), pause: up(40 * time.Millisecond), start: up(40 * time.Millisecond), reboot: r.IntN(2) == 0}
		if r.IntN(10) == 0 {
			c.pause = up(5 * time.Second)
		}
		p.engine = append(p.engine, c)
	}
	if p.log != nil { // what has lost its protection does not survive
		p.log.policy, p.log.after = policy.DownHold, 0
		p.tapLoss = 0 // a client that has waited for the log may have one SYN left
	}
	return p
}

// crashEngine kills engine and server.
func (w *world) crashEngine(c engineCrash) {
	if w.down {
		return
	}
	if c.alone && w.process != nil && !w.process.dead {
		w.crashAlone(c)
		return
	}
	w.crashes++
	w.note("CRASH of the engine, reboot %v", c.reboot)
	w.loseEngine()
	w.hostDown = c.reboot
	if p := w.process; p != nil {
		if !p.dead {
			p.dead = true
			w.kill(p.p)
		}
		p.killWorkers(true)
	}
	if w.late != nil {
		w.late.crash()
	}
	if c.reboot {
		w.hosts++
		w.bootServer()
	}
	w.clock.After(c.pause, func() { w.takeOver(c) })
}

// loseEngine forgets what only the engine knows.
func (w *world) loseEngine() {
	w.down = true
	w.engines++
	w.tapped, w.events, w.outputs, w.upcalls = nil, nil, nil, nil
	for _, a := range w.clients {
		a.owed = false
	}
}

// bootServer makes the server's TCP anew; what the old one still sends is lost.
func (w *world) bootServer() {
	cfg, host := w.plan.stack, w.hosts
	cfg.Seed, cfg.Release = w.plan.seed+2+uint64(host)<<32, w.released
	cfg.Output = func(g *rawiotest.Packet) {
		if host == w.hosts && !w.hostDown {
			w.leave(g)
		}
	}
	w.server = rawiotest.NewStack(w.clock, cfg)
}

// takeOver is the start of another engine.
func (w *world) takeOver(c engineCrash) {
	if w.log.Status()&logserver.Unreachable != 0 { // all that arrives is held meanwhile
		w.clock.After(10*time.Millisecond, func() { w.takeOver(c) })
		return
	}
	w.note("another engine")
	if !c.reboot {
		w.dropOrphans()
	}
	w.gate = gatetest.NewModel(64)
	w.gate.Now = func() uint64 { return uint64(w.now()) }
	w.env.gate, w.env.heads = w.gate, map[uint32]*head{}
	w.machine = south.New(w.cfg)
	w.upcalls = nil
	w.down, w.hostDown = false, false
	list := storedOf(w.log)
	for _, s := range list {
		f := w.flows[southFlow(s)]
		f.stable, f.fin = s.End, s.Meta.Finished
	}
	w.do(func() {
		if len(list) == 0 {
			w.protect()
			return
		}
		_ = w.gate.SetService(serverPort, gate.ServiceHold, w.plan.unmodified) // cannot fail
		w.note("restored: %d of %d", w.machine.Restore(serverPort, w.service(), list), len(list))
	})
	engine := w.engines
	w.clock.After(c.start, func() {
		if w.engines == engine {
			w.start()
		}
	})
}

// dropOrphans removes sockets of the dead server: the kernel itself drops the
// half-open of a listener that is gone; and those whose translation goes with the
// old gate can only do harm.
func (w *world) dropOrphans() {
	for f := range w.flows {
		c := w.machine.Conn(f)
		xlate := c != nil && w.gate.Slot(c.Slot()).Flags()&gate.FlagXlate != 0
		if s := w.server.Lookup(f.Server, f.Client); s != nil && (xlate || s.State() == rawiotest.SynReceived) {
			_ = w.server.Destroy(f.Server, f.Client)
		}
	}
}

// crash loses what is not stable: the log's client has gone as well.
func (l *lateLog) crash() {
	for id, c := range l.conns {
		if !c.hasMeta {
			c.gone = true
			delete(l.conns, id)
		}
		c.taken, c.fin, c.waiting = slices.Clone(c.store), c.hasFin, nil
	}
	l.unstable = 0
}

// ghost reports whether a client has all that it wanted, so that what another
// engine makes of its connection, if the log still knew it, is of no interest.
func (w *world) ghost(a *clientApp) bool { return w.engines > 0 && a.done }

// tellRead tells the log of a read before the handler answers it. The engine does
// that a little later, and so cannot promise what is checked here.
func (x *handler) tellRead(n int64) {
	w := x.w
	if len(w.plan.engine) == 0 || w.down { // then the next engine tells
		return
	}
	if c := w.machine.BySlot(x.slot); c != nil && c.Generation() == x.id.Generation() {
		if err := w.log.WriteReads(c.ID, uint32(n)); err != nil && !x.a.mayReset() {
			w.fail("handler %d: %v", x.a.n, err)
		}
		x.h.told = len(x.h.reads)
	}
}

// rebase is what the journal does for a restored connection: what may have left
// before is not compared.
func (h *head) rebase() {
	if n := int(h.sent) - len(h.out); n > 0 {
		h.out = append(h.out, make([]byte, n)...)
		h.base = h.sent
	}
}

func southFlow(s south.Stored) segment.Flow { return segment.Flow(s.Meta.Flow) }
