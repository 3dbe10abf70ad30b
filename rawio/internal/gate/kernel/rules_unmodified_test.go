package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// ruleBase is what the rules in this file start from: a segment with payload of
// the server, and what the gate notes of it.
type ruleBase struct {
	env
	data tcp
}

func newRuleBase(e env) ruleBase {
	return ruleBase{e, tcp{
		seq: e.s(50), ack: e.c(100), flags: flagACK | 8, window: 500, tsVal: 1000, tsEcr: 2000, payload: 10,
	}}
}

func (b ruleBase) segment(flags uint8, payload int) tcp {
	p := b.data
	p.flags, p.payload = flags, payload
	return p
}

// seen is what is noted of a segment that is judged, up to the end it has.
func (b ruleBase) seen(end int) func(*slotState) {
	return func(s *slotState) {
		s.Egress++
		s.SndNxt, s.Ack, s.Edge = b.s(end), b.c(100), b.c(100)+500<<7
		s.TSVal, s.TSEcr = 1000, 2000
		if s.Flags&gate.FlagXlate != 0 {
			s.TSVal += tsDelta
		}
	}
}

func counted(s *slotState) { s.Egress++ }

// unmodifiedRules are those about the FINs and RSTs of a server that announces
// nothing.
func unmodifiedRules(e env, live, _ slotState) []rule {
	b := newRuleBase(e)
	state := func(r gate.Released) slotState {
		s := live
		s.Flags |= gate.FlagUnmodified
		s.Released = r
		return s
	}
	fin := b.segment(flagFIN|flagACK|8, 10)
	rst, stray := b.segment(flagRST|flagACK, 0), b.segment(flagRST, 0)
	stray.ack = 0
	left := func(name string, p tcp, s slotState, after func(*slotState), events ...gate.EventKind) rule {
		return rule{name: name, packet: p, slot: s, verdict: gatetest.Pass, after: after, events: events}
	}
	held := func(name string, p tcp, s slotState, event gate.EventKind, stats gate.Stats) rule {
		return rule{name: name, packet: p, slot: s, verdict: gatetest.Held, after: counted, events: []gate.EventKind{event}, stats: stats}
	}
	noted := func(s *slotState) {
		b.seen(61)(s)
		s.FIN, s.FINEnd = true, e.s(61)
	}
	aborted := func(s *slotState) {
		b.seen(50)(s)
		s.Aborted = true
	}
	after := state(gate.ReleasedClosed)
	after.Aborted = true
	again := state(gate.ReleasedCrashed)
	again.FIN, again.FINEnd, again.SndNxt = true, e.s(61), e.s(61)
	announced := held("a priority says nothing of an unmodified server", fin, state(gate.ReleasedCrashed), gate.EventFINHeld, gate.Stats{FINHeld: 1})
	announced.priority = gate.PrioClose
	finHeld, rstHeld := gate.Stats{FINHeld: 1}, gate.Stats{RSTHeld: 1}
	known := state(gate.ReleasedNo)
	known.Noted = true
	return []rule{
		left("FIN of a closed socket leaves when that was noted", fin, known, noted),
		left("RST of a closed socket leaves when that was noted", rst, known, aborted, gate.EventRSTSent),
		held("answer to a segment is held when that was noted", stray, known, gate.EventRSTHeld, rstHeld),
		left("FIN of a socket that is held leaves", fin, state(gate.ReleasedNo), noted),
		left("FIN of a closed socket leaves", fin, state(gate.ReleasedClosed), noted),
		held("FIN of a crash is held", fin, state(gate.ReleasedCrashed), gate.EventFINHeld, finHeld),
		left("FIN that left before the crash leaves again", fin, again, b.seen(61)),
		announced,
		left("RST of a closed socket leaves", rst, state(gate.ReleasedClosed), aborted, gate.EventRSTSent),
		left("answer to a segment after that leaves, too", stray, after, func(s *slotState) { s.Egress++; s.TSVal, s.TSEcr = 1000, 2000 }, gate.EventRSTSent),
		held("answer to a segment after a close is held", stray, state(gate.ReleasedClosed), gate.EventRSTHeld, rstHeld),
		held("RST of a crash is held", rst, state(gate.ReleasedCrashed), gate.EventRSTHeld, rstHeld),
		held("RST without ACK after a crash is held", stray, state(gate.ReleasedCrashed), gate.EventRSTHeld, rstHeld),
		left("RST of a socket that is held leaves", rst, state(gate.ReleasedNo), aborted, gate.EventRSTSent),
		held("answer to a stray segment is held", stray, state(gate.ReleasedNo), gate.EventRSTHeld, rstHeld),
		{
			name: "SYN is held in an unmodified server's outage", packet: tcp{toServer: true, seq: e.c(-1), flags: flagSYN},
			ingress: true, slot: live, unknown: true, outage: true, unmodified: true, verdict: gatetest.Held, stats: gate.Stats{SYNHeld: 1},
		},
	}
}

// refusalRules are those about the kernel's answer to a SYN for which it has no
// listener, where a connection of the same endpoints is known: it is not its RST,
// whoever serves it.
func refusalRules(e env, live, xlate slotState) []rule {
	var all []rule
	for _, base := range []slotState{live, xlate} {
		base.SndNxt = e.s(40)
		unmodified := base
		unmodified.Flags |= gate.FlagUnmodified
		closed, crashed := unmodified, unmodified
		closed.Released, crashed.Released = gate.ReleasedClosed, gate.ReleasedCrashed
		for _, s := range []slotState{base, unmodified, closed, crashed} {
			for _, s.Mode = range []gate.Mode{gate.ModeLive, gate.ModeOpen, gate.ModeFree} {
				for _, ack := range []int{0, 5000} { // of the same SYN, of another
					all = append(all, rule{
						name:   "the refusal of a SYN is held where a connection is known: " + modeName(s.Mode),
						packet: tcp{ack: e.c(ack), flags: flagRST | flagACK}, slot: s,
						verdict: gatetest.Held, events: []gate.EventKind{gate.EventRSTHeld}, stranger: true, stats: gate.Stats{RSTHeld: 1},
					})
				}
			}
		}
	}
	// A socket whose number is 0.
	b := newRuleBase(e)
	zero := live
	zero.Flags |= gate.FlagUnmodified
	zero.SndNxt = 0
	rst := b.segment(flagRST|flagACK, 0)
	rst.seq = 0
	after := func(s *slotState) { b.seen(50)(s); s.SndNxt, s.Aborted = 0, true }
	return append(all, rule{
		name: "the RST of a socket that has come to 0 leaves", packet: rst, slot: zero, verdict: gatetest.Pass,
		after: after, events: []gate.EventKind{gate.EventRSTSent},
	})
}

// outputRules are those about what is captured.
func outputRules(e env, live, xlate slotState) []rule {
	b := newRuleBase(e)
	with := func(s slotState, mode gate.Mode, flags gate.SlotFlags) slotState {
		s.Mode = mode
		s.Flags |= flags
		return s
	}
	record, recordXlate := with(live, gate.ModeLive, gate.FlagRecord), with(xlate, gate.ModeLive, gate.FlagRecord)
	sent := func(seq int) []output { return []output{{gate.OutputSent, e.s(seq)}} }

	// FlagRecord.
	left := func(name string, p tcp, s slotState, end int, outputs []output) rule {
		return rule{
			name: name, packet: p, slot: s, verdict: gatetest.Pass, after: b.seen(end),
			outputs: outputs, stats: gate.Stats{Recorded: uint64(len(outputs))},
		}
	}
	fin := b.segment(flagFIN|flagACK, 10)
	lowered := b.data
	lowered.ack, lowered.window = e.c(100+128), 499
	translated := b.data
	translated.seq -= delta
	all := []rule{
		left("recorded data leaves", b.data, record, 60, sent(50)),
		left("a large segment is recorded whole", b.segment(flagACK, 1400), record, 50+1400, sent(50)),
		left("old data is recorded again", func() tcp { p := b.data; p.seq = e.s(20); return p }(), record, 50, sent(20)),
		left("an ACK has nothing to record", b.segment(flagACK, 0), record, 50, nil),
		{
			name: "data is recorded before its ACK is lowered", packet: lowered, slot: record, verdict: gatetest.Pass,
			out: func(p *tcp) { p.ack, p.window = e.c(100), 500 },
			after: func(s *slotState) {
				b.seen(60)(s)
				s.Ack, s.Edge, s.Held = e.c(100+128), e.c(100+128)+499<<7, true
			},
			outputs: sent(50), stats: gate.Stats{AckLowered: 1, Recorded: 1},
		},
		{
			name: "translated data is recorded under the client's number", packet: translated, slot: recordXlate, verdict: gatetest.Pass,
			out: func(p *tcp) { p.seq, p.tsVal = e.s(50), 1000+tsDelta }, after: b.seen(60),
			outputs: sent(50), stats: gate.Stats{Recorded: 1},
		},
		{
			name: "data with a FIN that leaves is recorded", packet: fin, priority: gate.PrioShut, slot: record, verdict: gatetest.Pass,
			after:   func(s *slotState) { b.seen(61)(s); s.FIN, s.FINEnd = true, e.s(61) },
			outputs: sent(50), stats: gate.Stats{Recorded: 1},
		},
		{
			name: "data with a FIN that is held is not recorded", packet: fin, slot: record, verdict: gatetest.Held,
			after: counted, events: []gate.EventKind{gate.EventFINHeld}, stats: gate.Stats{FINHeld: 1},
		},
		{
			name: "data that cannot be recorded is held", packet: b.data, slot: record, full: true, verdict: gatetest.Held,
			after: counted, stats: gate.Stats{Unrecorded: 1},
		},
		{
			name: "its FIN is not noted", packet: fin, priority: gate.PrioClose, slot: record, full: true, verdict: gatetest.Held,
			after: counted, stats: gate.Stats{Unrecorded: 1},
		},
		left("ACKs leave although nothing can be recorded", b.segment(flagACK, 0), record, 50, nil),
		{
			name: "data in an outage is not recorded", packet: b.data, slot: with(live, gate.ModeOutage, gate.FlagRecord), verdict: gatetest.Held,
			after: counted, stats: gate.Stats{OutageOut: 1},
		},
		{
			name: "data of an open connection is not recorded", packet: b.data, slot: with(live, gate.ModeOpen, gate.FlagRecord), verdict: gatetest.Pass,
			after: counted,
		},
	}
	all[len(all)-3].full = true

	// ModeRoll.
	for _, c := range []struct {
		name string
		p    tcp
	}{
		{"SYN-ACK", b.segment(flagSYN|flagACK, 0)},
		{"data", b.data},
		{"ACK", b.segment(flagACK, 0)},
		{"FIN", fin},
		{"RST", b.segment(flagRST|flagACK, 0)},
		{"RST without ACK", b.segment(flagRST, 0)},
	} {
		for _, s := range []slotState{live, xlate} {
			r := rule{
				name: "roll-forward captures and holds: " + c.name, packet: c.p, priority: gate.PrioClose,
				slot: with(s, gate.ModeRoll, gate.FlagRecord|gate.FlagUnmodified), verdict: gatetest.Held, after: counted,
				outputs: []output{{gate.OutputRoll, e.s(50)}}, stats: gate.Stats{Rolled: 1},
			}
			all = append(all, r)
			r.name = "roll-forward holds what it cannot capture: " + c.name
			r.full, r.outputs, r.stats = true, nil, gate.Stats{Unrecorded: 1}
			all = append(all, r)
		}
	}
	return append(all, rule{
		name: "roll-forward holds what arrives", packet: tcp{toServer: true, seq: e.c(100), ack: e.s(50), flags: flagACK, payload: 20},
		ingress: true, slot: with(live, gate.ModeRoll, 0), verdict: gatetest.Held,
		after: func(s *slotState) { s.HeldIn++ }, stats: gate.Stats{OutageIn: 1},
	})
}
