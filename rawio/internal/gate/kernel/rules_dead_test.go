package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// deadRules are those of an engine that has died and is not to be waited for.
// That a gate which waits goes on as before is seen with all other rules.
func deadRules(e env, live, xlate slotState) []rule {
	d := dead{newRuleBase(e), live, xlate}
	all := append(d.live(), d.halves()...)
	all = append(all, d.begun()...)
	for i := range all {
		all[i].name = "without an engine " + all[i].name
		all[i].engine = deadOpen
	}
	return append(all, d.marked()...)
}

type dead struct {
	ruleBase
	up, xlate slotState
}

func (d dead) with(s slotState, mode gate.Mode, flags gate.SlotFlags) slotState {
	s.Mode = mode
	s.Flags |= flags
	return s
}

// left is a packet that leaves as it is, and marks the slot if opened.
func left(name string, p tcp, s slotState, opened bool, after func(*slotState)) rule {
	r := rule{name: name, packet: p, slot: s, verdict: gatetest.Pass, after: after}
	if opened {
		r.stats.Opened = 1
		r.after = func(s *slotState) { after(s); s.Opened = max(s.Opened, gate.OpenedStall) }
	}
	return r
}

// acked is what is noted of a segment that ends at s(end) and has the ACK number
// c(ack).
func (d dead) acked(end, ack int) func(*slotState) {
	return func(s *slotState) {
		d.seen(end)(s)
		s.Ack, s.Edge = d.c(ack), d.c(ack)+500<<7
	}
}

// live are the rules for connections that are up.
func (d dead) live() []rule {
	segment := func(flags uint8, payload, ack int) tcp {
		p := d.segment(flags, payload)
		p.ack = d.c(ack)
		return p
	}
	sack := func(p tcp) tcp { p.sack = [][2]uint32{{d.c(130), d.c(140)}}; return p }
	translated := func(p tcp) tcp { p.seq -= delta; return p }
	held := d.up
	held.Held = true
	limit := d.with(d.up, gate.ModeLive, gate.FlagLimit)
	limit.Limit = d.c(100 + 300<<7)
	fin := func(s *slotState) {
		d.acked(61, 100)(s)
		s.FIN, s.FINEnd = true, d.s(61)
	}
	crashed := d.with(d.up, gate.ModeLive, gate.FlagUnmodified)
	crashed.Released = gate.ReleasedCrashed
	record := d.with(d.up, gate.ModeLive, gate.FlagRecord)
	stray := d.segment(flagRST, 0)
	stray.ack = 0

	all := []rule{
		left("a stable ACK is nothing new", segment(flagACK, 0, 100), d.up, false, d.acked(50, 100)),
		left("an unstable ACK leaves", segment(flagACK, 0, 101), d.up, true, d.acked(50, 101)),
		left("data with an unstable ACK leaves as it is", segment(flagACK, 10, 500), d.up, true, d.acked(60, 500)),
		left("an unstable ACK carries the held news", segment(flagACK, 0, 101), held, true,
			func(s *slotState) { d.acked(50, 101)(s); s.Held = false }),
		left("a SACK of unseen bytes leaves", sack(segment(flagACK, 0, 100)), d.up, false, d.acked(50, 100)),
		left("data with a SACK of unseen bytes leaves as it is", sack(segment(flagACK, 10, 100)), d.up, false, d.acked(60, 100)),
		left("the window has no limit", segment(flagACK, 0, 100), limit, false, d.acked(50, 100)),
		left("a FIN that nobody announced leaves", segment(flagFIN|flagACK, 10, 100), d.up, true, fin),
		left("the FIN of a crash leaves", segment(flagFIN|flagACK, 10, 100), crashed, true, fin),
		left("data is recorded", segment(flagACK, 10, 100), record, false, d.acked(60, 100)),
		left("data that cannot be recorded leaves", segment(flagACK, 10, 100), record, true, d.acked(60, 100)),
		left("a translated connection stays translated", translated(segment(flagACK, 10, 500)), d.xlate, true, d.acked(60, 500)),
	}
	n := len(all)
	all[n-3].outputs, all[n-3].stats.Recorded = []output{{gate.OutputSent, d.s(50)}}, 1
	all[n-2].full, all[n-2].stats.Unrecorded = true, 1
	all[n-1].out = func(p *tcp) { p.seq, p.tsVal = d.s(50), 1000+tsDelta }
	for _, r := range []rule{
		left("an RST that nobody announced leaves", segment(flagRST|flagACK, 0, 100), d.up, true, d.acked(50, 100)),
		left("the RST of a crash leaves", segment(flagRST|flagACK, 0, 100), crashed, true, d.acked(50, 100)),
		left("the answer to a segment after the crash leaves", stray, crashed, true,
			func(s *slotState) { s.Egress++; s.TSVal, s.TSEcr = 1000, 2000 }),
	} {
		r.events = []gate.EventKind{gate.EventRSTSent}
		all = append(all, r)
	}
	return all
}

// halves are the rules for connections of which the kernel has no socket, or one
// whose numbers the client does not know.
func (d dead) halves() []rule {
	in := tcp{seq: d.c(100), ack: d.s(40), flags: flagACK, window: 9, tsVal: 1, tsEcr: echoed, payload: 20, toServer: true}
	stray := tcp{seq: d.s(50), flags: flagRST}
	translated, translatedStray := d.data, stray
	translated.seq -= delta
	translatedStray.seq -= delta
	out, outXlate := d.with(d.up, gate.ModeOutage, 0), d.with(d.xlate, gate.ModeOutage, 0)

	all := []rule{
		left("an outage lets data go", d.data, out, true, counted),
		left("an outage lets an RST go", stray, out, true, counted),
		left("an outage lets translated data go", translated, outXlate, true, d.acked(60, 100)),
		left("an outage lets a translated RST go", translatedStray, outXlate, true,
			func(s *slotState) { s.Egress++ }),
		{name: "an outage lets in what arrives", packet: in, ingress: true, slot: out, verdict: gatetest.Pass},
		{
			name: "an outage lets in what arrives, translated", packet: in, ingress: true, slot: outXlate, verdict: gatetest.Pass,
			out: func(p *tcp) { p.ack, p.tsEcr = d.s(40)-delta, echoed-tsDelta },
		},
	}
	all[2].out = func(p *tcp) { p.seq, p.tsVal = d.s(50), 1000+tsDelta }
	all[3].out = func(p *tcp) { p.seq = d.s(50) }
	if d.layout != noTimestamps {
		all[3].out = func(p *tcp) { p.seq, p.tsVal = d.s(50), tsDelta }
		all[3].after = func(s *slotState) { s.Egress++; s.TSVal, s.TSEcr, s.Opened = tsDelta, 0, gate.OpenedStall }
	}
	for _, mode := range []gate.Mode{gate.ModeSpoof, gate.ModeRoll} {
		s := d.with(d.xlate, mode, gate.FlagRecord)
		holds := func(name string, p tcp) rule {
			r := rule{name: modeName(mode) + " holds " + name, packet: p, slot: s, verdict: gatetest.Held, after: counted, stats: gate.Stats{OutageOut: 1}}
			if mode == gate.ModeRoll {
				r.outputs, r.stats = []output{{gate.OutputRoll, p.seq}}, gate.Stats{Rolled: 1}
			}
			return r
		}
		all = append(all,
			holds("data", d.data), holds("a FIN", d.segment(flagFIN|flagACK, 0)), holds("a socket's RST", d.segment(flagRST|flagACK, 0)),
			left(modeName(mode)+" lets the answer to a client's segment go", stray, s, true, counted),
			rule{name: modeName(mode) + " lets in what arrives", packet: in, ingress: true, slot: s, verdict: gatetest.Pass},
		)
	}
	return all
}

func modeName(m gate.Mode) string {
	return map[gate.Mode]string{
		gate.ModeLive: "live", gate.ModeOutage: "outage", gate.ModeSpoof: "spoof",
		gate.ModeOpen: "open", gate.ModeRoll: "roll-forward", gate.ModeFree: "free",
	}[m]
}

// begun are the rules for connections that begin.
func (d dead) begun() []rule {
	synack := func(seq uint32, ack int) tcp {
		return tcp{seq: seq, ack: d.c(ack), flags: flagSYN | flagACK, window: 500, raw: []byte{2, 4, 5, 0xb4}}
	}
	syn := tcp{toServer: true, seq: d.c(-1), flags: flagSYN, window: 9, raw: []byte{2, 4, 5, 0xb4}}
	refusal := tcp{ack: d.c(1), flags: flagRST | flagACK}
	passes := func(name string, p tcp) rule {
		return rule{name: name, packet: p, slot: d.up, unknown: true, verdict: gatetest.Pass, stats: gate.Stats{Opened: 1}}
	}
	over := d.up
	over.FIN = true
	all := []rule{
		passes("a new connection's SYN-ACK leaves", synack(d.s(0), 1)),
		passes("the refusal of a SYN leaves", refusal),
		{name: "so it does in place of a connection that is over", packet: refusal, slot: over, verdict: gatetest.Pass, stats: gate.Stats{Opened: 1}},
		{name: "a SYN is let in during an outage", packet: syn, ingress: true, slot: d.up, unknown: true, outage: true, verdict: gatetest.Pass},
		{name: "a SYN is let in to a connection in an outage", packet: syn, ingress: true, slot: d.with(d.up, gate.ModeOutage, 0),
			outage: true, verdict: gatetest.Pass},
		{name: "a repeated SYN-ACK leaves", packet: synack(d.up.SndNxt-1, 0), slot: d.up, verdict: gatetest.Pass, after: counted},
		{
			name: "a repeated SYN-ACK of a translated connection does not", packet: synack(d.s(4)-delta, 0), slot: d.xlate,
			verdict: gatetest.Held, after: counted, events: []gate.EventKind{gate.EventSYNACK}, stats: gate.Stats{SYNACKHeld: 1},
		},
	}
	for _, mode := range []gate.Mode{gate.ModeLive, gate.ModeOutage, gate.ModeSpoof, gate.ModeOpen, gate.ModeRoll} {
		for _, s := range []slotState{d.with(d.up, mode, 0), d.with(d.xlate, mode, 0)} {
			all = append(all, rule{
				name: "a SYN-ACK ends what is known of a connection: " + modeName(mode), packet: synack(d.s(9999), 77), slot: s,
				verdict: gatetest.Pass, after: counted, forgets: true, stats: gate.Stats{Opened: 1},
			})
		}
	}
	return all
}

// marked are the rules for connections that were let go, and whose engine lives.
func (d dead) marked() []rule {
	ack, fin := d.segment(flagACK, 0), d.segment(flagFIN|flagACK, 10)
	ack.ack = d.c(101)
	opened := func(mode gate.Mode) slotState {
		s := d.with(d.up, mode, 0)
		s.Opened = gate.OpenedUrgent
		return s
	}
	return []rule{
		left("what was let go stays so: an ACK", ack, opened(gate.ModeLive), true, d.acked(50, 101)),
		left("what was let go stays so: a FIN", fin, opened(gate.ModeLive), true,
			func(s *slotState) { d.acked(61, 100)(s); s.FIN, s.FINEnd = true, d.s(61) }),
		left("what was let go stays so: an outage", d.data, opened(gate.ModeOutage), true, counted),
		{
			name: "but its new connection is reported", packet: d.segment(flagSYN|flagACK, 0), slot: opened(gate.ModeLive),
			verdict: gatetest.Held, after: counted, events: []gate.EventKind{gate.EventSYNACK}, stats: gate.Stats{SYNACKHeld: 1},
		},
	}
}

// deadICMP is the rule for an ICMP error that the closed socket's host sends.
func deadICMP(in tcp, unreachable byte, live slotState) rule {
	return rule{
		name: "without an engine an ICMP error about the client's packet leaves", engine: deadOpen,
		bytes: in.icmp(unreachable, 3, 0), slot: live, verdict: gatetest.Pass,
	}
}
