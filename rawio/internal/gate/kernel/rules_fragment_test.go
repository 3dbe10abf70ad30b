package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// fragmentRules are those about fragments, and about what the engine can't follow.
func fragmentRules(e env, live, xlate slotState, data, in tcp) []rule {
	var all []rule
	add := func(ingress bool, name string, p tcp, s slotState, change func(*rule)) {
		p.toServer = ingress
		r := rule{name: name, ingress: ingress, packet: p, slot: s, verdict: gatetest.Pass}
		change(&r)
		all = append(all, r)
	}
	mod := func(p tcp, change func(*tcp)) tcp { change(&p); return p }
	with := func(s slotState, change func(*slotState)) slotState { change(&s); return s }

	// From the client: the first fragment is the segment, the others are nobody's.
	first := mod(in, func(p *tcp) { p.fragment, p.ack = true, e.s(10) })
	add(true, "first fragment passes untouched", first, live, func(*rule) {})
	add(true, "first fragment is translated", first, xlate, func(r *rule) {
		r.out = func(p *tcp) { p.ack, p.tsEcr = e.s(10)-delta, echoed-tsDelta }
	})
	add(true, "first fragment behind extension headers is translated", mod(first, func(p *tcp) { p.extensions = 2 }), xlate, func(r *rule) {
		r.out = func(p *tcp) { p.ack, p.tsEcr = e.s(10)-delta, echoed-tsDelta }
	})
	add(true, "outage holds the first fragment", first, with(live, func(s *slotState) { s.Mode = gate.ModeOutage }), func(r *rule) {
		r.verdict, r.stats.OutageIn = gatetest.Held, 1
		r.after = func(s *slotState) { s.HeldIn++ }
	})
	later := mod(first, func(p *tcp) { p.later = true })
	add(true, "another fragment passes, whatever its bytes look like", later, xlate, func(*rule) {})
	for _, n := range []int{8, 19, 20} {
		add(true, "first fragment that ends in the TCP header is held", mod(first, func(p *tcp) { p.cut, p.raw = n, make([]byte, 40) }), live, func(r *rule) {
			r.verdict, r.stats.ShortFragment = gatetest.Held, 1
		})
	}
	add(true, "first fragment that ends in the TCP header passes to another port", mod(first, func(p *tcp) { p.cut = 16 }), live, func(r *rule) {
		r.other = true
	})

	// From the server.
	out := mod(data, func(p *tcp) { p.fragment, p.ack = true, e.c(200) })
	opened := func(s *slotState) { s.Egress++; s.Opened = gate.OpenedFragment }
	add(false, "fragment leaves, with all that follows", out, live, func(r *rule) {
		r.after, r.events, r.stats.Unfollowed = opened, []gate.EventKind{gate.EventUnfollowed}, 1
	})
	for _, m := range []gate.Mode{gate.ModeLive, gate.ModeOpen} {
		add(false, "fragment of a translated connection is held", out, with(xlate, func(s *slotState) { s.Mode = m }), func(r *rule) {
			r.verdict, r.events, r.stats.Unfollowed = gatetest.Held, []gate.EventKind{gate.EventUnfollowed}, 1
			r.after = func(s *slotState) { s.Egress++ }
		})
	}
	add(false, "outage holds a fragment", out, with(live, func(s *slotState) { s.Mode = gate.ModeOutage }), func(r *rule) {
		r.verdict, r.stats.OutageOut = gatetest.Held, 1
		r.after = func(s *slotState) { s.Egress++ }
	})
	add(false, "fragment of an unknown flow passes", out, live, func(r *rule) { r.unknown = true })
	add(false, "another fragment passes", mod(out, func(p *tcp) { p.later = true }), live, func(*rule) {})
	urgent := mod(data, func(p *tcp) { p.flags |= flagURG; p.ack = e.c(101) })
	add(false, "urgent data leaves, with all that follows", urgent, live, func(r *rule) {
		r.events, r.stats.Unfollowed, r.stats.Opened = []gate.EventKind{gate.EventUnfollowed}, 1, 1
		r.after = func(s *slotState) {
			s.Egress++
			s.Opened = gate.OpenedUrgent
			s.SndNxt, s.Ack, s.Edge = e.s(60), e.c(101), e.c(101)+500<<7
			s.TSVal, s.TSEcr = 1000, 2000
		}
	})
	add(false, "urgent data is reported once", urgent, with(live, func(s *slotState) { s.Opened = gate.OpenedUrgent }), func(r *rule) {
		r.stats.Opened = 1
		r.after = func(s *slotState) {
			s.Egress++
			s.Opened = gate.OpenedUrgent
			s.SndNxt, s.Ack, s.Edge = e.s(60), e.c(101), e.c(101)+500<<7
			s.TSVal, s.TSEcr = 1000, 2000
		}
	})
	return all
}
