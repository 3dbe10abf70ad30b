package south_test

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// checkStable: the core raises stable no further than the log's word.
func (w *world) checkStable(c *south.Conn, stable uint32) {
	f := w.flows[c.Flow]
	if f == nil || f.open || f.irs != stable-uint32(seqnum.Diff(stable, f.irs)) {
		return
	}
	if seqnum.Less(f.limit(), stable) {
		w.fail("%v: stable %d is raised above %d", c.Flow.Client, stable-f.irs, f.limit()-f.irs)
	}
}

// checkSurvives: what a packet acknowledges would survive a crash of the log.
func (w *world) checkSurvives(f *flow, flow segment.Flow, ack uint32) {
	if w.late == nil {
		return
	}
	stable, fin, ok := w.late.survives(flow)
	if !ok {
		return // it is over
	}
	if most := limit(f.irs, stable, fin); seqnum.Less(most, ack) {
		w.fail("%v: ACK %d leaves, %d would survive a crash of the log", flow.Client, ack-f.irs, most-f.irs)
	}
}

// checkTaken: while the server lives, the core acknowledges only what the kernel has
// taken. The client would not say the rest again.
func (w *world) checkTaken(g *segment.Segment) {
	c, s := w.machine.Conn(segment.Flow{Client: g.Dst, Server: g.Src}), w.server.Lookup(g.Src, g.Dst)
	if f := w.flows[segment.Flow{Client: g.Dst, Server: g.Src}]; f == nil || f.app.mayReset() || f.reset {
		return // it may be another connection's socket
	}
	if c == nil || s == nil || s.State() == rawiotest.SynReceived || c.State() != south.Established || w.gate.Slot(c.Slot()).Mode() != gate.ModeLive {
		return
	}
	if taken := s.Info().RcvNxt; g.Flags.Has(segment.ACK) && !g.Flags.Any(segment.SYN|segment.RST) && seqnum.Less(taken, g.Ack) {
		w.fail("%v: the core acknowledges %d, the kernel has %d", g.Dst, g.Ack-s.Info().IRS, taken-s.Info().IRS)
	}
}

// limit is the highest ACK number that may leave.
func (f *flow) limit() uint32 {
	return limit(f.irs, f.stable, f.fin)
}

// another reports whether the server may have another connection of a client's flow: the
// RST that was meant has left, the core has taken note of that, and the client, which has
// not got it, made one from a SYN cookie, as with plain TCP.
func (w *world) another(a *clientApp) bool {
	return w.flows[a.flow].reset && w.machine.Conn(a.flow) == nil
}

// checkLeaving looks at each packet to a client.
func (w *world) checkLeaving(g *rawiotest.Packet) {
	f := w.flows[segment.Flow{Client: g.Dst, Server: g.Src}]
	if f == nil {
		return
	}
	// A client that has all of it may meet a server that has forgotten the
	// connection, as with plain TCP.
	state := f.app.sock.State()
	alive := state != rawiotest.Closed && state != rawiotest.TimeWait
	if g.Flags.Has(segment.SYN | segment.ACK) {
		if g.Ack != f.irs+1 && alive {
			w.fail("%v: SYN-ACK for %d", g.Dst, g.Ack-f.irs)
		}
		// A copy of the SYN that comes after an abort begins a new connection. So
		// does, for a client that has not got its SYN-ACK, a SYN that comes when the
		// kernel has forgotten the first.
		if f.synacks > 0 && f.iss != g.Seq && alive && !f.app.mayReset() {
			w.fail("%v: another SYN-ACK", g.Dst)
		}
		f.iss = g.Seq
		f.synacks++
		return
	}
	f.reset = f.reset || g.Flags.Has(segment.RST) && f.app.mayReset()
	if g.Flags.Has(segment.ACK) && alive && !f.app.letGo() && !f.open && !f.reset {
		if seqnum.Less(f.limit(), g.Ack) {
			w.fail("%v: ACK %d leaves, %d is stable", g.Dst, g.Ack-f.irs, f.limit()-f.irs)
		}
		w.checkSurvives(f, segment.Flow{Client: g.Dst, Server: g.Src}, g.Ack)
	}
	switch {
	case g.Flags.Has(segment.RST):
		// As with plain TCP, an old ACK that comes late may find nobody; the client
		// ignores what it gets for it.
		old := f.app.letGo() && seqnum.Less(g.Seq, f.app.sock.Info().RcvNxt)
		old = old || f.forsaken()
		if alive && !f.app.mayReset() && !old && !w.ghost(f.app) {
			w.fail("%v: RST leaves", g.Dst)
		}
	case g.Flags.Has(segment.FIN):
		if off, closed := f.app.served(); alive && !f.app.mayReset() && (!closed || g.End()-1-f.iss-1 != uint32(off)) {
			w.fail("%v: FIN at %d leaves, the handler is at %d (closed %v)", g.Dst, g.End()-1-f.iss-1, off, closed)
		}
	}
	if at := f.app.outLen(); alive && len(g.Payload) > 0 && !w.another(f.app) && seqnum.Diff(g.Seq+uint32(len(g.Payload)), f.iss+1+uint32(at)) > 0 {
		w.fail("%v: data up to %d leaves, the handler is at %d", g.Dst, g.Seq+uint32(len(g.Payload))-f.iss-1, at)
	}
}
