package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// restoreRules are those for connections that come from a log: while it is not
// known which there are, and where every ACK has to wait for it.
func restoreRules(e env, live slotState) []rule {
	b := newRuleBase(e)
	outage := func(s *slotState) {}
	free := live
	held := func(name string, p tcp, s gate.Stats) rule {
		return rule{name: "unknown connections: " + name, packet: p, ingress: p.toServer, slot: free, unknown: true, hold: true,
			verdict: gatetest.Held, after: outage, stats: s}
	}
	in := func(flags uint8, n int) tcp {
		return tcp{toServer: true, seq: e.c(100), ack: e.s(50), flags: flags, payload: n}
	}
	closed := live
	closed.Flags |= gate.FlagUnmodified
	closed.Released = gate.ReleasedClosed
	lasting := closed
	lasting.Flags |= gate.FlagLasting
	above := b.segment(flagACK, 0)
	above.ack = e.c(100 + 128)
	beyond := func(s *slotState) {
		b.seen(50)(s)
		s.Ack, s.Edge = e.c(100+128), e.c(100+128)+500<<7
	}
	return []rule{
		held("data is held", in(flagACK, 10), gate.Stats{OutageIn: 1}),
		held("a FIN is held", in(flagFIN|flagACK, 0), gate.Stats{OutageIn: 1}),
		held("a RST is held", in(flagRST, 0), gate.Stats{OutageIn: 1}),
		held("a SYN is held", tcp{toServer: true, seq: e.c(-1), flags: flagSYN}, gate.Stats{SYNHeld: 1}),
		held("an answer is held", b.segment(flagACK, 10), gate.Stats{OutageOut: 1}),
		held("a RST of the kernel is held", b.segment(flagRST, 0), gate.Stats{OutageOut: 1}),
		held("a refusal of the kernel is held", func() tcp {
			p := b.segment(flagRST|flagACK, 0)
			p.seq = 0
			return p
		}(), gate.Stats{OutageOut: 1}),
		held("a SYN-ACK is held", b.segment(flagSYN|flagACK, 0), gate.Stats{OutageOut: 1}),
		{name: "a known connection goes on", packet: b.data, slot: live, hold: true, verdict: gatetest.Pass, after: b.seen(60)},
		{name: "an ACK that nobody waits for leaves", packet: above, slot: closed, verdict: gatetest.Pass, after: beyond},
		{
			name: "an ACK waits for a log that is to last", packet: above, slot: lasting, verdict: gatetest.Held,
			after: func(s *slotState) { beyond(s); s.Held = true }, stats: gate.Stats{AckHeld: 1},
		},
	}
}
