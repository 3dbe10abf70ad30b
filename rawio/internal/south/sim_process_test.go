package south_test

import (
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// process is one life of the server.
type process struct {
	w       *world
	p       *rawiotest.Process
	l       *rawiotest.Listener
	dead    bool
	workers []*worker // of an unmodified server, may be none
}

// start runs the server, now, and tells the engine when it listens.
func (w *world) start() {
	w.starts++
	w.note("server starts")
	p := &process{w: w, p: w.server.NewProcess()}
	w.process = p
	w.do(func() { w.protect() })
	l, err := p.p.Listen(serverAddr)
	if err != nil {
		panic(err)
	}
	p.l = l
	w.clock.After(w.plan.queue.late, func() {
		l.Notify = p.accept
		p.accept()
	})
	for range w.plan.wire.workers {
		p.workers = append(p.workers, &worker{p: w.server.NewProcess()})
	}
	w.clock.After(w.delay(w.plan.newsDelay), func() {
		if !p.dead {
			w.do(func() { w.note("listening: %d", w.machine.Listening(serverPort)) })
		}
	})
}

// crash kills the server; the engine hears of it a little later, and it is
// started again after the pause.
func (w *world) crash(pause time.Duration) {
	p := w.process
	if p == nil || p.dead || w.unprotected {
		return
	}
	w.crashes++
	w.note("CRASH")
	p.dead = true
	w.kill(p.p)
	w.dropHalfOpen()
	p.killWorkers(w.rand.IntN(2) == 0)
	if w.down { // the next engine will see
		w.tellReads()
		return
	}
	engine := w.engines
	w.clock.After(w.delay(w.plan.newsDelay), func() {
		if w.engines != engine {
			return
		}
		p.killWorkers(true)
		w.note("crash is known")
		w.do(func() { w.machine.Crash(serverPort) })
		w.clock.After(pause, func() {
			if w.engines == engine {
				w.start()
			}
		})
	})
}

func (p *process) accept() {
	for {
		by, k := p.p, p.anyWorker()
		if k != nil {
			by = k.p
		}
		s := p.l.AcceptBy(by)
		if s == nil {
			return
		}
		flow := segment.Flow{Client: s.RemoteAddr(), Server: s.LocalAddr()}
		c := p.w.machine.Conn(flow)
		if c == nil && p.w.flows[flow].open {
			p.serve(&handler{w: p.w, p: p, worker: k, s: s, a: p.w.flows[flow].app, h: &head{flow: flow}})
			continue
		}
		if c == nil {
			if p.w.flows[flow].reset { // plain TCP makes two connections of one, too, if a SYN cookie began it
				s.Abort()
			}
			continue // reset meanwhile
		}
		a := p.w.flows[flow].app
		h := p.w.env.heads[c.Slot()]
		if p.w.plan.unmodified {
			h = a.unmodifiedHead(c.Slot(), c.Generation())
		}
		if !h.Accepted {
			p.w.acceptSeq++
			h.Accepted, h.AcceptSeq = true, p.w.acceptSeq
		}
		x := &handler{w: p.w, p: p, worker: k, s: s, a: a, h: h, slot: c.Slot(), id: c}
		if h.prepared {
			x.una, x.logged = h.una, h.stable
			h.rebase()
			h.out = h.out[:h.sent]
		}
		h.shut = false
		p.serve(x)
	}
}

func (p *process) serve(x *handler) {
	x.a.handler, x.a.head = x, x.h
	x.s.Notify = x.step
	x.s.SetKeepAlive(2*time.Minute, 10*time.Second, 9)
	p.w.clock.After(p.w.delay(time.Millisecond), x.step)
}
