package kernel

import (
	"math/rand/v2"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

func randomState(rnd *rand.Rand, e env) slotState {
	near := func(base uint32) uint32 {
		n := base + uint32(rnd.IntN(40)) - 20
		if rnd.IntN(100) == 0 {
			n ^= 1 << 31 // as far away as can be
		}
		return n
	}
	s := slotState{
		Mode: gate.Mode(rnd.IntN(6)), Flags: gate.SlotFlags(rnd.IntN(64)), Gen: rnd.Uint32(), Released: gate.Released(rnd.IntN(3)),
		Stable: near(e.c(0)), High: near(e.c(10)), IRS: near(e.c(-1)), Limit: near(e.c(5000)),
		KScale: uint8(rnd.IntN(15)), CScale: uint8(rnd.IntN(15)),
		Held: rnd.IntN(2) == 0, Ack: near(e.c(0)), SndNxt: near(e.s(0)),
		Noted: rnd.IntN(4) == 0, FIN: rnd.IntN(2) == 0, FINEnd: near(e.s(0)),
	}
	if rnd.IntN(2) == 0 {
		s.Mode = gate.ModeLive
	}
	if rnd.IntN(10) == 0 {
		s.Opened = gate.Opened(1 + rnd.IntN(3))
	}
	if s.Flags&gate.FlagXlate != 0 {
		s.Delta, s.TSDelta = rnd.Uint32(), rnd.Uint32()
	}
	return s
}

func randomPacket(rnd *rand.Rand, e env) (pkt []byte, ingress bool) {
	near := func(base uint32) uint32 { return base + uint32(rnd.IntN(40)) - 20 }
	p := tcp{
		v6: e.v6, layout: e.layout, toServer: rnd.IntN(2) == 0, flags: flagACK, window: uint16(rnd.Uint32()),
		tsVal: rnd.Uint32(), tsEcr: rnd.Uint32() * uint32(rnd.IntN(2)), payload: rnd.IntN(3) * rnd.IntN(300),
		extensions: rnd.IntN(3), fragment: rnd.IntN(8) == 0, later: rnd.IntN(4) == 0,
	}
	if rnd.IntN(3) == 0 {
		p.flags, p.ae = uint8(rnd.Uint32()), rnd.IntN(2) == 0
	}
	peer := e.c
	p.seq, p.ack = near(e.s(0)), near(e.c(0))
	if p.toServer {
		peer = e.s
		p.seq, p.ack = p.ack, p.seq
	}
	for range rnd.IntN(4) {
		p.sack = append(p.sack, [2]uint32{near(peer(0)), near(peer(10))})
	}
	if rnd.IntN(4) == 0 {
		p.raw = randomOptions(rnd)
	}
	ingress = p.toServer
	if rnd.IntN(10) == 0 {
		ingress = !ingress
		pkt = p.icmp([]byte{1, 2, 3}[rnd.IntN(3)], byte(rnd.IntN(5)), 1400)
	} else {
		pkt = p.bytes()
	}
	// Damage: the header fields that the parsers must not trust.
	if rnd.IntN(6) == 0 {
		pkt[rnd.IntN(min(len(pkt), 100))] ^= 1 << rnd.IntN(8)
	}
	if rnd.IntN(20) == 0 {
		// The kernel makes no test run of less than an IP header.
		pkt = pkt[:40+rnd.IntN(len(pkt)-40+1)]
	}
	return pkt, ingress
}

// randomOptions is made of kinds that matter with lengths that may lie.
func randomOptions(rnd *rand.Rand) []byte {
	o := make([]byte, 0, 64)
	for len(o) < 4*(1+rnd.IntN(10)) {
		kind := []byte{0, 1, 1, 2, 5, 8, 8, 30, 34, 254, 19, 29}[rnd.IntN(12)]
		n := []int{2, 4, 10, 18, rnd.IntN(20)}[rnd.IntN(5)]
		if kind == 8 {
			n = 10
		}
		if kind < 2 {
			o = append(o, kind)
			continue
		}
		o = append(o, kind, byte(n))
		for range n - 2 {
			o = append(o, byte(rnd.Uint32()))
		}
	}
	return o[:min(len(o), 40)/4*4]
}
