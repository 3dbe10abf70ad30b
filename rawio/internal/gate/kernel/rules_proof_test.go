package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// proofRules are those for packets that prove that the gate is in the way: nothing that a
// service or an engine is in lets them by.
func proofRules(e env, live slotState) []rule {
	var all []rule
	out := tcp{seq: 1, ack: 2, flags: flagACK}
	in := out
	in.toServer = true
	for _, r := range []rule{
		{name: "listening"},
		{name: "in an outage", outage: true},
		{name: "while connections are unknown", hold: true},
		{name: "of a dead engine", engine: deadOpen},
	} {
		r.proof, r.slot = true, live
		name := r.name
		r.name, r.packet, r.verdict, r.events = "proof leaves, "+name, out, gatetest.Returned, []gate.EventKind{gate.EventProofOut}
		all = append(all, r)
		r.name, r.packet, r.verdict, r.events = "proof arrives, "+name, in, gatetest.Held, []gate.EventKind{gate.EventProofIn}
		r.ingress = true
		all = append(all, r)
	}
	return append(all,
		rule{name: "proof of another port leaves", packet: out, slot: live, proof: true, other: true, verdict: gatetest.Pass},
		rule{name: "proof of another port arrives", packet: in, ingress: true, slot: live, proof: true, other: true, verdict: gatetest.Pass},
	)
}
