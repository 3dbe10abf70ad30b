package south_test

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// arrive is a client's packet at the server's interface.
func (w *world) arrive(g *rawiotest.Packet) {
	p, err := g.Append(nil)
	if err != nil {
		panic(err)
	}
	if w.hostDown {
		w.note("lost       %v", &g.Segment)
		return
	}
	f := w.flows[segment.Flow{Client: g.Src, Server: g.Dst}]
	if f != nil && g.Flags.Has(segment.SYN) && !w.down {
		f.app.owed = true
	}
	if w.rand.Float64() >= w.plan.tapLoss && !(f != nil && w.unseen(f.app, g)) {
		w.tapped = append(w.tapped, tapped{decoded(p, segment.ChecksumVerify), w.now()})
		w.wake()
	} else {
		w.note("tap loss   %v", &g.Segment)
		if f != nil && g.Len() > 0 {
			f.missed = append(f.missed, missed{segment.Block{Left: g.Seq, Right: g.End()}, w.clock.Now()})
		}
	}
	if w.plan.prompt {
		w.checkPrompt(f, g)
	}
	verdict := w.gate.Ingress(p, 0)
	w.note("cli->srv   %v %s", &g.Segment, verdict)
	if after := decoded(p, segment.ChecksumVerify); verdict == gatetest.Pass && after.Ack != g.Ack {
		w.note("       as  %v", after)
	}
	w.report2()
	if verdict == gatetest.Pass {
		w.server.Input(&rawiotest.Packet{Segment: *decoded(p, segment.ChecksumVerify)})
	}
}

// leave is a packet of the server's stack at its interface.
func (w *world) leave(g *rawiotest.Packet) {
	p, err := g.Append(nil)
	if err != nil {
		panic(err)
	}
	w.gate.From = gatetest.FromSocket
	if g.NoSocket {
		w.gate.From = gatetest.FromStack
		w.cookies++
	}
	verdict := w.gate.Egress(p, g.Priority)
	if verdict == gatetest.Held {
		w.note("held       %v", &g.Segment)
	}
	w.report2()
	if verdict == gatetest.Pass {
		w.toClient(&rawiotest.Packet{Segment: *decoded(p, segment.ChecksumVerify), Priority: g.Priority}, "srv")
	}
}

func (w *world) toClient(g *rawiotest.Packet, from string) {
	w.note("%-4s->cli  %v", from, &g.Segment)
	if f := w.flows[segment.Flow{Client: g.Dst, Server: g.Src}]; f != nil && w.machine.GoesUnprotected(segment.Flow{Client: g.Dst, Server: g.Src}) {
		w.goesOpen(f) // it is told when the client has answered
	}
	w.checkLeaving(g)
	w.net.Send(g, w.client.Input)
}

// lost takes note of a packet that the network has lost.
func (w *world) lost(g *rawiotest.Packet) {
	f := w.flows[segment.Flow{Client: g.Dst, Server: g.Src}]
	if f != nil && g.Flags.Has(segment.SYN) {
		f.synacks--
		f.app.owed = false
	}
	if f := w.flows[segment.Flow{Client: g.Src, Server: g.Dst}]; f != nil && g.Len() > 0 {
		f.mislaid = append(f.mislaid, missed{segment.Block{Left: g.Seq, Right: g.End()}, w.clock.Now()})
	}
}
