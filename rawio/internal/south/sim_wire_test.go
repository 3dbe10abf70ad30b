package south_test

import (
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// The simulation of unmodified servers: a handler has no north side. After a
// crash it starts from nothing, and reads all of its input from the kernel.

// wirePlan is what only runs with an unmodified server have.
type wirePlan struct {
	compare  policy.Compare
	captures int             // Config.Captures
	block    int             // bytes of input for a reply
	workers  int             // processes that accept, 0: the listener's own
	crashes  []time.Duration // of one worker
	full     []crash         // the ring of outputs has no room for some time
	slow     time.Duration   // most that a handler thinks before a read
}

func randomWirePlan(seed uint64) wirePlan {
	r := rand.New(rand.NewPCG(seed, 0x77697265))
	some := func(p float64) bool { return r.Float64() < p }
	up := upTo(r)
	p := wirePlan{captures: 1 << (12 + r.IntN(12)), block: 1 + r.IntN(1<<(4+r.IntN(9)))}
	if some(0.3) {
		p.compare = policy.CompareLength
	}
	if some(0.5) {
		p.workers = 1 + r.IntN(3)
		for range r.IntN(6) { // after more the core gives up a connection
			p.crashes = append(p.crashes, up(700*time.Millisecond))
		}
	}
	if some(0.3) {
		for range 1 + r.IntN(5) {
			p.full = append(p.full, crash{at: up(700 * time.Millisecond), pause: up(100 * time.Millisecond)})
		}
	}
	if some(0.3) {
		p.slow = up(5 * time.Millisecond)
	}
	return p
}

// planWire arranges what the plan says of unmodified servers.
func (w *world) planWire() {
	for _, at := range w.plan.wire.crashes {
		w.clock.After(at, w.crashWorker)
	}
	for _, f := range w.plan.wire.full {
		w.clock.After(f.at, func() { w.gate.OutputsFull = true; w.note("the outputs are full") })
		w.clock.After(f.at+f.pause, func() { w.gate.OutputsFull = false; w.note("the outputs have room") })
	}
}

// worker is a process that serves connections for a listener that it shares.
type worker struct {
	p    *rawiotest.Process
	dead bool
}

func (p *process) anyWorker() *worker {
	if len(p.workers) == 0 {
		return nil
	}
	return p.workers[p.w.rand.IntN(len(p.workers))]
}

// killWorkers ends what is left of the service after its main process.
func (p *process) killWorkers(all bool) {
	for _, k := range p.workers {
		if !k.dead && (all || p.w.rand.IntN(2) == 0) {
			k.dead = true
			p.w.kill(k.p)
		}
	}
}

// crashWorker kills one worker; the main process starts another.
func (w *world) crashWorker() {
	p := w.process
	if p == nil || p.dead || len(p.workers) == 0 || w.unprotected {
		return
	}
	w.crashes++
	w.note("CRASH of a worker")
	i := w.rand.IntN(len(p.workers))
	old := p.workers[i]
	old.dead = true
	p.workers[i] = &worker{p: w.server.NewProcess()}
	w.kill(old.p)
}

// kill ends a process by SIGKILL.
func (w *world) kill(p *rawiotest.Process) {
	w.gate.Task = gatetest.Task{Exiting: true, PID: 4711, Code: 9}
	p.Kill()
	w.gate.Task = gatetest.Task{}
	w.report2()
}

// released is the gate's program at the release of sockets.
func (w *world) released(s *rawiotest.Socket) {
	if w.plan.unmodified {
		w.gate.Release(segment.Flow{Client: s.RemoteAddr(), Server: s.LocalAddr()})
	}
}

// wakeOutputs lets the engine look at the captured output, a little later.
func (w *world) wakeOutputs() {
	if w.reading {
		return
	}
	w.reading = true
	w.clock.After(w.delay(w.plan.engineDelay), func() {
		w.reading = false
		w.do(func() {
			list := w.outputs
			w.outputs = nil
			for _, o := range list {
				s := decoded(o.Packet, segment.ChecksumTrusted)
				w.note("output %d   %v", o.Kind, s)
				w.machine.Output(o.Kind, o.Slot, o.Gen, o.Seq, s)
			}
		})
	})
}

// unmodifiedHead is what the checks know of a connection's handlers.
func (a *clientApp) unmodifiedHead(slot, gen uint32) *head {
	if a.head == nil || a.headSlot != slot || a.head.gen != gen {
		a.head, a.headSlot = &head{gen: gen, flow: a.flow}, slot
	}
	return a.head
}

// letGo reports whether an unmodified server has closed the connection: what its
// client still sends nobody will read, and the protection has ended.
func (a *clientApp) letGo() bool { return a.w.plan.unmodified && a.handler != nil && a.handler.done }

func (x *handler) dead() bool { return x.p.dead && x.worker == nil || x.worker != nil && x.worker.dead }

// readWire does one read of an unmodified server's application. What it answers
// does not depend on how the input comes in: a record for each block.
func (x *handler) readWire() bool {
	if d := x.w.plan.wire.slow; d > 0 && !x.awake {
		if !x.thinking {
			x.thinking = true
			x.w.clock.After(x.w.delay(d), func() { x.thinking, x.awake = false, true; x.step() })
		}
		return false
	}
	x.awake = false
	p := make([]byte, 1+x.w.rand.IntN(4096))
	n, err := x.s.Recv(p)
	p = p[:n]
	switch {
	case errors.Is(err, rawiotest.ErrWouldBlock):
		return false
	case errors.Is(err, io.EOF):
		x.eof = true
		if x.a.b.end != clientAborts && int(x.off) != x.a.b.bytes {
			x.w.fail("handler %d: EOF at %d of %d", x.a.n, x.off, x.a.b.bytes)
		}
		return false
	case err != nil:
		x.failed(err)
		return false
	}
	block := int64(max(x.w.plan.wire.block, x.a.b.bytes/200))
	for len(p) > 0 && !x.done {
		part := p[:min(int64(len(p)), block-x.off%block)]
		for i, b := range part {
			if want := clientByte(x.a.n, int(x.off)+i); b != want {
				x.w.fail("handler %d reads %#x at %d, want %#x", x.a.n, b, x.off+int64(i), want)
				return false
			}
		}
		x.sum = crc32.Update(x.sum, crc32.IEEETable, part)
		x.off += int64(len(part))
		p = p[len(part):]
		if x.off%block == 0 || int(x.off) == x.a.b.bytes {
			x.readNo++
			x.handle()
		}
	}
	return !x.done
}
