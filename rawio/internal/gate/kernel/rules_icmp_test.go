package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// icmpRules are those about ICMP errors.
func icmpRules(e env, live, xlate slotState, data, in tcp) []rule {
	unreachable, tooBig, code, timeExceeded := byte(3), byte(3), byte(4), byte(11)
	if e.v6 {
		unreachable, tooBig, code, timeExceeded = 1, 2, 0, 3
	}
	for _, p := range []*tcp{&data, &in} {
		p.v6, p.layout = e.v6, e.layout
	}
	in.toServer = true
	translated := data
	translated.seq -= delta
	out := data
	return []rule{
		deadICMP(in, unreachable, live),
		{
			name: "ICMP error about the client's packet is held", bytes: in.icmp(unreachable, 3, 0),
			slot: live, verdict: gatetest.Held, stats: gate.Stats{ICMPHeld: 1},
		},
		{
			name: "so is one that a hop limit causes", bytes: in.icmp(timeExceeded, 0, 0),
			slot: live, verdict: gatetest.Held, stats: gate.Stats{ICMPHeld: 1},
		},
		{
			name: "ICMP error about an unknown flow leaves", bytes: in.icmp(unreachable, 3, 0),
			slot: live, unknown: true, verdict: gatetest.Pass,
		},
		{
			name: "path-MTU report is translated", ingress: true, bytes: out.icmp(tooBig, code, 1400),
			slot: xlate, verdict: gatetest.Pass, rewrite: quoting(out, translated, tooBig, code), stats: gate.Stats{ICMPFixed: 1},
		},
		{
			name: "path-MTU report of an untranslated connection passes", ingress: true, bytes: out.icmp(tooBig, code, 1400),
			slot: live, verdict: gatetest.Pass,
		},
		{
			name: "other ICMP error passes in", ingress: true, bytes: out.icmp(unreachable, 1, 0),
			slot: xlate, verdict: gatetest.Pass,
		},
	}
}

// quoting is the report about p with only the sequence number of q in it: the
// quoted TCP checksum stays.
func quoting(p, q tcp, typ, code byte) []byte {
	b := p.icmp(typ, code, 1400)
	l4 := 20
	if p.v6 {
		l4 = 40
	}
	at := l4 + 8 + l4 + 4
	be.PutUint32(b[at:], q.seq)
	body := b[l4:]
	be.PutUint16(body[2:], 0)
	sum := uint32(0)
	if p.v6 {
		flow := testFlow(true)
		sum = pseudo(flow.Client.Addr(), flow.Server.Addr(), protoICMPv6, len(body))
	}
	be.PutUint16(body[2:], ^onesSum(sum, body))
	return b
}
