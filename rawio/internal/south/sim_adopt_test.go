package south_test

import (
	"math/rand/v2"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// The simulation of an engine that goes alone: the server, its sockets, the journal
// and the gate, with all its maps, live on. What the gate reports meanwhile is lost.

func randomAlonePlan(seed uint64) plan {
	p := randomEnginePlan(seed)
	r := rand.New(rand.NewPCG(seed, 0x616c6f6e65))
	for i := range p.engine {
		p.engine[i].alone = r.IntN(4) > 0
	}
	return p
}

// crashAlone kills the engine only.
func (w *world) crashAlone(c engineCrash) {
	w.crashes++
	w.note("CRASH of the engine alone")
	w.loseEngine()
	if w.late != nil {
		w.late.crash()
	}
	w.clock.After(c.pause, func() { w.adopt(c) })
}

// adopt is the start of another engine.
func (w *world) adopt(c engineCrash) {
	if w.process.dead { // since
		for _, k := range w.process.workers {
			if !k.dead {
				k.dead = true
				w.kill(k.p)
			}
		}
		c.reboot = false
		w.takeOver(c)
		return
	}
	if w.log.Status()&logserver.Unreachable != 0 {
		w.clock.After(10*time.Millisecond, func() { w.adopt(c) })
		return
	}
	w.note("another engine adopts")
	flows, err := w.gate.Flows()
	if err != nil {
		panic(err)
	}
	w.machine = south.New(w.cfg)
	w.machine.Inherit(flows)
	w.upcalls, w.env.adopted = nil, true
	w.down = false
	list := storedOf(w.log)
	for _, s := range list {
		f := w.flows[southFlow(s)]
		f.stable, f.fin = s.End, s.Meta.Finished
	}
	w.do(func() {
		w.note("adopted: %d of %d", w.machine.Adopt(serverPort, w.service(), w.env.outage, list), len(list))
		w.machine.CopyReads()
	})
	for slot := range w.env.heads {
		if c := w.machine.BySlot(slot); c == nil || c.State() == south.Lingering {
			delete(w.env.heads, slot)
		}
	}
	p := w.process
	w.clock.After(w.delay(w.plan.newsDelay), func() {
		if !p.dead {
			w.do(func() { w.note("listening: %d", w.machine.Listening(serverPort)) })
		}
	})
}

// displaced ends the handler whose socket a later engine has removed: the connection
// is opened again.
func (w *world) displaced(f segment.Flow) {
	if x := w.flows[f].app.handler; w.engines > 0 && x != nil && !x.dead() && !x.done {
		x.end()
	}
}

// tellReads tells the log what a server has read that dies while there is no engine:
// in reality that is lost with its journal, and cannot promise what is checked here.
func (w *world) tellReads() {
	for slot, h := range w.env.heads {
		if c := w.machine.BySlot(slot); c != nil && c.Generation() == h.gen {
			for _, n := range h.reads[h.told:] {
				_ = w.log.WriteReads(c.ID, uint32(n)) // or the connection is over
			}
			h.told = len(h.reads)
		}
	}
}

// dropHalfOpen is what the kernel does with the half-open sockets of a listener that
// is gone. An engine that has seen them begin removes them itself.
func (w *world) dropHalfOpen() {
	if w.engines == 0 {
		return
	}
	for f := range w.flows {
		if s := w.server.Lookup(f.Server, f.Client); s != nil && s.State() == rawiotest.SynReceived {
			_ = w.server.Destroy(f.Server, f.Client)
		}
	}
}
