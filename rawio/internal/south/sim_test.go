package south_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// plan is what one run of the simulation is made from.
type plan struct {
	seed        uint64
	impairment  rawiotest.Impairment
	stack       rawiotest.Config
	window      int
	tapLoss     float64
	engineDelay time.Duration // of the tap and of the gate's events
	logDelay    time.Duration // of upcalls; 0: at once
	newsDelay   time.Duration // of a crash, and of listening
	clients     []behaviour
	crashes     []crash
	atStep      []int // crash at these steps of the clock
	traced      bool

	log        *logPlan // nil: it is in memory
	unmodified bool     // the server has no journal
	wire       wirePlan
	engine     []engineCrash
	queue      queuePlan
	jumps      []jump
	eventsFull []crash // the ring of events has no room for some time
	prompt     bool    // see TestPrompt
}

type crash struct {
	at    time.Duration
	pause time.Duration // until the server starts again
}

// upTo returns what draws a time from 0 to d.
func upTo(r *rand.Rand) func(d time.Duration) time.Duration {
	return func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d) + 1)) }
}

func randomPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 0x706c616e))
	some := func(p float64) bool { return r.Float64() < p }
	up := upTo(r)
	p := plan{
		seed: seed, window: 1 + r.IntN(4),
		engineDelay: up(500 * time.Microsecond), newsDelay: up(3 * time.Millisecond),
	}
	p.impairment.Delay = up(20 * time.Millisecond)
	if some(0.6) {
		p.impairment.Loss, p.impairment.Duplicate, p.impairment.Reorder = 0.05*r.Float64(), 0.05*r.Float64(), 0.2*r.Float64()
	}
	if some(0.5) {
		p.logDelay = up(3 * time.Millisecond)
	}
	if some(0.2) {
		p.tapLoss = 0.05 * r.Float64()
	}
	p.stack = rawiotest.Config{
		NoTimestamps: some(0.2), NoSACK: some(0.2), NoWScale: some(0.2), WScale: uint8(1 + r.IntN(10)),
		MSS: uint16(100 + r.IntN(1400)), ReceiveBuffer: 4096 << r.IntN(6), SendBuffer: 4096 << r.IntN(6),
		FinTimeout: 5 * time.Second,
	}
	if some(0.5) { // numbers next to 2³²
		p.stack.ISN = func() uint32 { return uint32(r.IntN(4000)) - 3000 }
	}
	for range 1 + r.IntN(3) {
		b := behaviour{
			dialAt: up(300 * time.Millisecond), bytes: r.IntN(1 << (4 + r.IntN(13))), chunk: 1 + r.IntN(8192),
			padding: r.IntN(1 << r.IntN(12)), greet: some(0.2), end: ending(r.IntN(endingsNumber)),
		}
		if some(0.5) {
			b.pause = up(20 * time.Millisecond)
			b.bytes /= 4
		}
		b.chunk = max(b.chunk, b.bytes/300) // the stack does not gather small writes
		p.clients = append(p.clients, b)
	}
	for range r.IntN(6) {
		c := crash{at: up(600 * time.Millisecond), pause: up(30 * time.Millisecond)}
		switch {
		case some(0.1):
			c.pause = up(20 * time.Second)
		case some(0.3):
			c.pause = 0
		}
		p.crashes = append(p.crashes, c)
		if some(0.4) { // again at once
			p.crashes = append(p.crashes, crash{at: c.at + c.pause + up(8*time.Millisecond), pause: up(5 * time.Millisecond)})
		}
	}
	if some(0.3) { // where packets are, whatever the time
		for range 1 + r.IntN(12) {
			p.atStep = append(p.atStep, r.IntN(100<<r.IntN(6)))
		}
	}
	if p.unmodified = seed%2 == 0; p.unmodified {
		p.wire = randomWirePlan(seed)
	}
	if seed/2%2 == 1 {
		p.log = randomLogPlan(seed)
	}
	return p
}

// maxSteps is far more than any plan takes.
const maxSteps = 400_000

// run plays a plan to its end and returns the world.
func run(p plan) *world {
	w := newWorld(p)
	w.start()
	for i, b := range p.clients {
		w.dial(i, b)
	}
	for _, c := range p.crashes {
		w.clock.After(c.at, func() { w.crash(c.pause) })
	}
	w.planWire()
	w.planEvents()
	for _, c := range p.engine {
		w.clock.After(c.at, func() { w.crashEngine(c) })
	}
	crashAt := map[int]bool{}
	for _, n := range p.atStep {
		crashAt[n] = true
	}
	over := func() bool {
		if w.failure != "" {
			return true
		}
		if w.steps++; w.steps > maxSteps {
			w.fail("%d steps: the two ends answer each other without end", w.steps)
		}
		if crashAt[w.steps] {
			w.crash(time.Millisecond)
		}
		for _, a := range w.clients {
			if !a.done {
				return false
			}
		}
		return true
	}
	if !w.clock.Run(20*time.Minute, over) {
		for _, a := range w.clients {
			if !a.done && !w.another(a) { // as it may take long: neither knows the other's numbers
				w.fail("client %d does not end: %v, %d of %d bytes sent, %d records of %d bytes, last word %v",
					a.n, a.sock.State(), a.sent, a.b.bytes, a.reads, a.total, a.bye)
				c := w.machine.Conn(a.flow)
				if c != nil {
					w.note("core: %v %+v", c.State(), c.Info())
				}
			}
		}
	}
	w.checkRest()
	return w
}

// checkRest waits until everything must be forgotten.
func (w *world) checkRest() {
	if w.failure != "" {
		return
	}
	w.atRest = true
	w.clock.Run(15*time.Minute, func() bool {
		if w.steps++; w.steps > maxSteps {
			w.fail("%d steps: the two ends answer each other without end", w.steps)
		}
		return w.failure != "" || w.machine.Len() == 0
	})
	if w.plan.unmodified || w.unprotected { // whose application may still have something to read
		w.clock.Run(20*time.Second, func() bool { w.steps++; return w.steps > maxSteps || w.failure != "" })
	}
	if w.unprotected { // and whose client something to say, after a time-out
		w.clock.Run(15*time.Minute, func() bool { w.steps++; return w.steps > maxSteps || w.failure != "" || w.saidAll() })
	}
	w.do(func() {
		w.machine.Sweep(int64(time.Minute), func(f segment.Flow) bool { return w.server.Lookup(f.Server, f.Client) != nil })
	})
	for _, a := range w.clients { // acknowledged is not enough: it must have been read
		if x := a.handler; w.failure == "" && !a.mayReset() && !w.ghost(a) && !(w.plan.unmodified && x != nil && x.dead()) && (x == nil || !x.eof || int(x.off) != a.b.bytes) {
			w.fail("client %d: the last handler has not read all: %+v", a.n, x)
		}
	}
	if n := w.machine.Len(); n != 0 && w.failure == "" {
		for _, a := range w.clients {
			if c := w.machine.Conn(a.flow); c != nil {
				w.fail("client %d: %v is left", a.n, c.State())
			}
		}
	}
	if n := w.machine.Rolls(); n != 0 && w.failure == "" {
		w.fail("%d roll-forwards are under way without a connection", n)
	}
	if n := w.log.NumActive(); n != 0 {
		w.fail("%d connections are left in the log", n)
	}
	if n := len(w.env.heads); n != 0 {
		w.fail("%d heads are left in the journal", n)
	}
	if err := w.log.Close(); err != nil {
		w.fail("log: %v", err)
	}
}

// saidAll reports whether the clients of what goes on without protection have nothing
// left to say.
func (w *world) saidAll() bool {
	for _, f := range w.flows {
		if state := f.app.sock.State(); f.open && state != rawiotest.Closed && state != rawiotest.TimeWait && state != rawiotest.FinWait2 {
			return false
		}
	}
	return true
}

// TestCrashAtEveryStep crashes a small conversation at each step of the clock,
// alone and with a second crash soon after.
func TestCrashAtEveryStep(t *testing.T) {
	base := plan{
		seed: 42, window: 2, engineDelay: 100 * time.Microsecond, logDelay: 300 * time.Microsecond,
		newsDelay: 300 * time.Microsecond, impairment: rawiotest.Impairment{Delay: time.Millisecond},
		stack: rawiotest.Config{MSS: 500, TimeWait: 5 * time.Second, FinTimeout: 5 * time.Second},
	}
	for n := range 4 * endingsNumber {
		p, end := base, ending(n%endingsNumber)
		if p.unmodified = n/endingsNumber%2 == 1; p.unmodified {
			p.wire = wirePlan{block: 150, captures: 1 << 20, workers: n % 2}
		}
		again := []int{0, 3, 17, 40}
		if n >= 2*endingsNumber {
			p.log = &logPlan{sync: 2 * time.Millisecond, upcall: time.Millisecond, read: time.Millisecond, down: []crash{{4 * time.Millisecond, 6 * time.Millisecond}}}
			again = []int{0}
		}
		p.clients = []behaviour{
			{bytes: 3000, chunk: 700, padding: 300, end: end, greet: end == bothClose},
			{dialAt: 3 * time.Millisecond, bytes: 400, chunk: 100, pause: 2 * time.Millisecond, end: end},
		}
		w := run(p)
		if w.failure != "" {
			t.Fatalf("ending %d, unmodified %v, log %v, without a crash: %s", end, p.unmodified, p.log, w.failure)
		}
		// The steps after the last client is done change nothing.
		steps := 0
		for _, p2 := range again {
			for n := 1; n < w.steps; n++ {
				if testing.Short() && n%7 != 0 {
					continue
				}
				q := p
				q.atStep = []int{n}
				if p2 > 0 {
					q.atStep = append(q.atStep, n+p2)
				}
				if f := run(q); f.failure != "" {
					q.traced = true
					f = run(q)
					t.Fatalf("ending %d, unmodified %v, log %v, crash at %v: %s\n%s", end, q.unmodified, q.log, q.atStep, f.failure, tail(f.trace, 150))
				}
				steps++
			}
		}
		t.Logf("ending %d, unmodified %v: %d runs", end, p.unmodified, steps)
	}
}

func tail(lines []string, n int) string {
	if len(lines) > n {
		lines = append([]string{fmt.Sprintf("(%d lines before)", len(lines)-n)}, lines[len(lines)-n:]...)
	}
	return "\n" + strings.Join(lines, "\n")
}
