package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// rules returns the contract of the gate, rule by rule.
func rules(e env) []rule {
	var all []rule
	add := func(r rule) { all = append(all, r) }

	// The connection: client bytes up to c(100) stable, server sent up to s(50).
	live := slotState{
		Mode: gate.ModeLive, Flags: gate.FlagTS | gate.FlagSACK, Stable: e.c(100), High: e.c(100), IRS: e.c(-1), Gen: 7,
		KScale: 7, CScale: 7, Ack: e.c(90), SndNxt: e.s(50), TSVal: 1, TSEcr: 2,
	}
	xlate := live
	xlate.Flags |= gate.FlagXlate
	xlate.Delta, xlate.TSDelta, xlate.Base = delta, tsDelta, e.s(5)
	with := func(s slotState, change func(*slotState)) slotState { change(&s); return s }

	data := tcp{seq: e.s(50), ack: e.c(100), flags: flagACK | 8, window: 500, tsVal: 1000, tsEcr: 2000, payload: 10}
	ack := tcp{seq: e.s(50), ack: e.c(100), flags: flagACK, window: 500, tsVal: 1000, tsEcr: 2000}
	// seen is what the gate records of a segment it judges.
	seen := func(end, ackNum uint32) func(*slotState) {
		return func(s *slotState) {
			s.Egress++
			s.SndNxt, s.Ack, s.Edge = end, ackNum, ackNum+500<<7
			s.TSVal, s.TSEcr = 1000, 2000
		}
	}
	also := func(fs ...func(*slotState)) func(*slotState) {
		return func(s *slotState) {
			for _, f := range fs {
				f(s)
			}
		}
	}
	counted := func(s *slotState) { s.Egress++ }
	held := func(s *slotState) { s.Held = true }
	egress := func(name string, p tcp, s slotState) rule {
		return rule{name: name, packet: p, slot: s, verdict: gatetest.Pass}
	}
	ingress := func(name string, p tcp, s slotState) rule {
		p.toServer = true
		return rule{name: name, packet: p, slot: s, verdict: gatetest.Pass, ingress: true}
	}
	mod := func(p tcp, change func(*tcp)) tcp { change(&p); return p }

	// Who is looked at.
	r := egress("no mark lets a packet pass", ack, with(live, func(s *slotState) { s.Mode = gate.ModeOutage }))
	r.mark, r.verdict, r.after, r.stats.OutageOut = testSecret, gatetest.Held, counted, 1
	add(r)
	r = egress("other port passes", mod(ack, func(p *tcp) { p.ack = e.c(200) }), live)
	r.other = true
	add(r)
	r = egress("unknown flow passes", data, live)
	r.unknown = true
	add(r)
	r = egress("RST that refuses a SYN is reported", tcp{ack: e.c(1), flags: flagRST | flagACK}, live)
	r.unknown, r.verdict, r.events, r.stats.RSTHeld = true, gatetest.Held, []gate.EventKind{gate.EventRSTHeld}, 1
	add(r)
	r = egress("RST that refuses a copy of a live connection's SYN is held", tcp{ack: e.c(1), flags: flagRST | flagACK},
		with(live, func(s *slotState) { s.Ack, s.SndNxt = e.c(1), e.s(51) })) // 0 might be next
	r.priority, r.stranger, r.verdict, r.events, r.stats.RSTHeld = gate.PrioClose, true, gatetest.Held, []gate.EventKind{gate.EventRSTHeld}, 1
	add(r)
	r = egress("unknown flow's other RST passes", tcp{seq: e.s(50), flags: flagRST}, live)
	r.unknown = true
	add(r)
	r = egress("unknown flow's SYN-ACK is reported", mod(ack, func(p *tcp) { p.flags |= flagSYN }), live)
	r.unknown, r.verdict, r.events = true, gatetest.Held, []gate.EventKind{gate.EventSYNACK}
	r.stats.SYNACKHeld = 1
	add(r)
	r = egress("free slot passes", mod(ack, func(p *tcp) { p.ack = e.c(200) }), with(live, func(s *slotState) { s.Mode = gate.ModeFree }))
	add(r)

	// Outage and spoofed handshake.
	r = egress("outage holds data", data, with(live, func(s *slotState) { s.Mode = gate.ModeOutage }))
	r.verdict, r.after, r.stats.OutageOut = gatetest.Held, counted, 1
	add(r)
	r = egress("outage holds an announced RST", mod(ack, func(p *tcp) { p.flags = flagRST }), with(live, func(s *slotState) { s.Mode = gate.ModeOutage }))
	r.priority, r.verdict, r.after, r.stats.OutageOut = gate.PrioClose, gatetest.Held, counted, 1
	add(r)
	r = egress("spoof reports the SYN-ACK", mod(ack, func(p *tcp) { p.flags |= flagSYN }), with(live, func(s *slotState) { s.Mode = gate.ModeSpoof }))
	r.verdict, r.after, r.events, r.stats.SYNACKHeld = gatetest.Held, counted, []gate.EventKind{gate.EventSYNACK}, 1
	add(r)
	r = egress("spoof holds the rest", data, with(live, func(s *slotState) { s.Mode = gate.ModeSpoof }))
	r.verdict, r.after, r.stats.OutageOut = gatetest.Held, counted, 1
	add(r)

	// SYN-ACKs of a live connection.
	synack := mod(ack, func(p *tcp) { p.flags |= flagSYN; p.seq, p.ack = e.s(49), e.c(0) })
	r = egress("SYN-ACK retransmission passes", synack, live)
	r.after = counted
	add(r)
	r = egress("SYN-ACK with another ACK number is reported", mod(synack, func(p *tcp) { p.ack = e.c(1) }), live)
	r.verdict, r.after, r.events, r.stats.SYNACKHeld = gatetest.Held, counted, []gate.EventKind{gate.EventSYNACK}, 1
	add(r)
	r = egress("SYN-ACK of another socket is reported", mod(synack, func(p *tcp) { p.seq = e.s(1049) }), live)
	r.verdict, r.after, r.events, r.stats.SYNACKHeld = gatetest.Held, counted, []gate.EventKind{gate.EventSYNACK}, 1
	add(r)
	r = egress("SYN-ACK of a translated connection is reported", mod(ack, func(p *tcp) { p.flags |= flagSYN; p.ack = e.c(0) }), xlate)
	r.verdict, r.after, r.events, r.stats.SYNACKHeld = gatetest.Held, counted, []gate.EventKind{gate.EventSYNACK}, 1
	add(r)

	// ACK numbers: invariant 1.
	r = egress("stable ACK passes untouched", ack, live)
	r.after = seen(e.s(50), e.c(100))
	add(r)
	r = egress("stable data passes untouched", data, live)
	r.after = seen(e.s(60), e.c(100))
	add(r)
	r = egress("old data does not move snd_nxt", mod(data, func(p *tcp) { p.seq = e.s(20) }), live)
	r.after = seen(e.s(50), e.c(100))
	add(r)
	r = egress("unstable ACK is held", mod(ack, func(p *tcp) { p.ack = e.c(101); p.flags |= 0x40 }), live)
	r.verdict, r.stats.AckHeld = gatetest.Held, 1
	r.after = also(seen(e.s(50), e.c(101)), held, func(s *slotState) { s.HFlags = 0x40 })
	add(r)
	r = egress("unstable ACK of data is lowered", mod(data, func(p *tcp) { p.ack = e.c(100 + 3*128) }), live)
	r.stats.AckLowered = 1
	r.out = func(p *tcp) { p.ack, p.window = e.c(100), 503 }
	r.after = also(seen(e.s(60), e.c(100+3*128)), held)
	add(r)
	r = egress("a widened window saturates", mod(data, func(p *tcp) { p.ack, p.window = e.c(100+3*128), 65534 }), live)
	r.stats.AckLowered = 1
	r.out = func(p *tcp) { p.ack, p.window = e.c(100), 65535 }
	r.after = also(seen(e.s(60), e.c(100+3*128)), held, func(s *slotState) { s.Edge = e.c(100+3*128) + 65534<<7 })
	add(r)
	r = egress("the next stable ACK carries the held news", ack, with(live, func(s *slotState) { s.Held, s.Ack = true, e.c(99) }))
	r.after = also(seen(e.s(50), e.c(100)), func(s *slotState) { s.Held = false })
	add(r)
	r = egress("an overtaken ACK does not, nor does it tell anything new", mod(ack, func(p *tcp) { p.ack = e.c(98) }),
		with(live, func(s *slotState) { s.Held, s.Ack = true, e.c(99) }))
	r.after = counted
	add(r)
	r = egress("overtaken data has left all the same", mod(data, func(p *tcp) { p.ack = e.c(98) }), with(live, func(s *slotState) { s.Ack = e.c(99) }))
	r.after = func(s *slotState) { s.Egress++; s.SndNxt = e.s(60) }
	add(r)
	r = egress("window probe is held like an ACK", mod(ack, func(p *tcp) { p.seq, p.ack = e.s(49), e.c(101) }), live)
	r.verdict, r.stats.AckHeld, r.probe = gatetest.Held, 1, true
	r.after = also(seen(e.s(50), e.c(101)), held)
	add(r)
	finPassed := func(s *slotState) { s.FIN, s.FINEnd = true, e.s(50) }
	r = egress("an answer of a socket that has yet to send what its predecessor has, a FIN, is no probe", r.packet, with(live, finPassed))
	r.verdict, r.stats.AckHeld = gatetest.Held, 1
	r.after = also(seen(e.s(50), e.c(101)), held)
	add(r)

	// SACK towards the client.
	r = egress("SACK of seen bytes passes", mod(ack, func(p *tcp) { p.sack = [][2]uint32{{e.c(110), e.c(120)}} }),
		with(live, func(s *slotState) { s.High = e.c(120) }))
	r.after = seen(e.s(50), e.c(100))
	add(r)
	r = egress("SACK of unseen bytes is held", mod(ack, func(p *tcp) { p.sack = [][2]uint32{{e.c(110), e.c(120)}, {e.c(130), e.c(140)}} }),
		with(live, func(s *slotState) { s.High = e.c(139) }))
	r.verdict, r.stats.SACKHeld = gatetest.Held, 1
	r.after = also(seen(e.s(50), e.c(100)), held)
	add(r)
	r = egress("SACK of unseen bytes is removed from data", mod(data, func(p *tcp) { p.sack = [][2]uint32{{e.c(130), e.c(140)}, {e.c(110), e.c(120)}} }),
		with(live, func(s *slotState) { s.High = e.c(139) }))
	r.stats.SACKRemoved = 1
	r.out = func(p *tcp) { p.sack, p.nopSACK = nil, 18 }
	r.after = seen(e.s(60), e.c(100))
	add(r)

	// The window.
	limit := func(n int) slotState {
		return with(live, func(s *slotState) { s.Flags |= gate.FlagLimit; s.Limit = e.c(n) })
	}
	r = egress("window within the limit passes", ack, limit(100+500<<7))
	r.after = seen(e.s(50), e.c(100))
	add(r)
	r = egress("window is narrowed to the limit", ack, limit(100+300<<7+127))
	r.out, r.stats.Limited = func(p *tcp) { p.window = 300 }, 1
	r.after = seen(e.s(50), e.c(100))
	add(r)
	r = egress("limit below the ACK closes the window", ack, limit(50))
	r.out, r.stats.Limited = func(p *tcp) { p.window = 0 }, 1
	r.after = seen(e.s(50), e.c(100))
	add(r)
	r = egress("limit holds for lowered ACKs", mod(data, func(p *tcp) { p.ack = e.c(100 + 128) }), limit(100+300<<7))
	r.out, r.stats.Limited, r.stats.AckLowered = func(p *tcp) { p.ack, p.window = e.c(100), 300 }, 1, 1
	r.after = also(seen(e.s(60), e.c(100+128)), held)
	add(r)
	r = egress("smaller kernel scale", ack, with(xlate, func(s *slotState) { s.KScale, s.CScale, s.Delta, s.TSDelta = 7, 9, 0, 0 }))
	r.out, r.after = func(p *tcp) { p.window = 125 }, seen(e.s(50), e.c(100))
	add(r)
	r = egress("larger kernel scale saturates", mod(ack, func(p *tcp) { p.window = 20000 }),
		with(xlate, func(s *slotState) { s.KScale, s.CScale, s.Delta, s.TSDelta = 7, 5, 0, 0 }))
	r.out = func(p *tcp) { p.window = 65535 }
	r.after = also(seen(e.s(50), e.c(100)), func(s *slotState) { s.Edge = e.c(100) + 20000<<7 })
	add(r)

	// RST.
	rst := mod(ack, func(p *tcp) { p.flags = flagRST | flagACK })
	r = egress("RST is held", rst, live)
	r.verdict, r.after, r.events, r.stats.RSTHeld = gatetest.Held, counted, []gate.EventKind{gate.EventRSTHeld}, 1
	add(r)
	r = egress("RST of a shut-down side is held", rst, live)
	r.priority, r.verdict, r.after, r.events, r.stats.RSTHeld = gate.PrioShut, gatetest.Held, counted, []gate.EventKind{gate.EventRSTHeld}, 1
	add(r)
	r = egress("announced RST leaves with a stable ACK", mod(rst, func(p *tcp) { p.ack, p.window = e.c(101), 0 }), live)
	r.priority, r.events, r.stats.AckLowered = gate.PrioClose, []gate.EventKind{gate.EventRSTSent}, 1
	r.out = func(p *tcp) { p.ack = e.c(100) }
	r.after = also(seen(e.s(50), e.c(101)), held, func(s *slotState) { s.Edge, s.Aborted = e.c(101), true })
	add(r)
	r = egress("announced RST without ACK is translated", mod(rst, func(p *tcp) { p.flags, p.ack, p.seq = flagRST, 0, e.s(50)-delta }), xlate)
	r.priority, r.events = gate.PrioClose, []gate.EventKind{gate.EventRSTSent}
	r.out = func(p *tcp) { p.seq, p.tsVal = e.s(50), 1000+tsDelta }
	r.after = func(s *slotState) { s.Egress++; s.TSVal, s.TSEcr, s.Aborted = 1000+tsDelta, 2000, true }
	add(r)
	r = egress("what the kernel answers after an announced RST leaves, too", mod(rst, func(p *tcp) { p.flags, p.ack, p.seq = flagRST, 0, e.s(40) }),
		with(live, func(s *slotState) { s.Aborted = true }))
	r.events = []gate.EventKind{gate.EventRSTSent}
	r.after = func(s *slotState) { s.Egress++; s.TSVal, s.TSEcr = 1000, 2000 }
	add(r)

	// FIN.
	fin := mod(data, func(p *tcp) { p.flags |= flagFIN })
	r = egress("FIN is held", fin, live)
	r.verdict, r.after, r.events, r.stats.FINHeld = gatetest.Held, counted, []gate.EventKind{gate.EventFINHeld}, 1
	add(r)
	for _, prio := range []uint32{gate.PrioClose, gate.PrioShut} {
		r = egress("announced FIN leaves", fin, live)
		r.priority = prio
		r.after = also(seen(e.s(61), e.c(100)), func(s *slotState) { s.FIN, s.FINEnd = true, e.s(61) })
		add(r)
	}
	r = egress("announced bare FIN leaves with a stable ACK", mod(fin, func(p *tcp) { p.payload, p.ack = 0, e.c(101) }), live)
	r.priority, r.stats.AckLowered = gate.PrioShut, 1
	r.out = func(p *tcp) { p.ack = e.c(100) }
	r.after = also(seen(e.s(51), e.c(101)), held, func(s *slotState) { s.FIN, s.FINEnd = true, e.s(51) })
	add(r)
	sent := with(live, func(s *slotState) { s.FIN, s.FINEnd, s.SndNxt = true, e.s(61), e.s(61) })
	r = egress("retransmission of a sent FIN leaves", fin, sent)
	r.after = seen(e.s(61), e.c(100))
	add(r)
	r = egress("another FIN is held", mod(fin, func(p *tcp) { p.payload = 11 }), sent)
	r.verdict, r.after, r.events, r.stats.FINHeld = gatetest.Held, counted, []gate.EventKind{gate.EventFINHeld}, 1
	add(r)

	// Translation towards the client.
	r = egress("translated data", mod(data, func(p *tcp) { p.seq -= delta }), xlate)
	r.out = func(p *tcp) { p.seq, p.tsVal = e.s(50), 1000+tsDelta }
	r.after = also(seen(e.s(60), e.c(100)), func(s *slotState) { s.TSVal = 1000 + (tsDelta & 0xffffffff) })
	add(r)
	r = egress("everything at once", mod(data, func(p *tcp) {
		p.seq, p.ack, p.sack = e.s(50)-delta, e.c(100+256), [][2]uint32{{e.c(700), e.c(800)}}
	}), with(xlate, func(s *slotState) { s.CScale = 6; s.Flags |= gate.FlagLimit; s.Limit = e.c(100 + 320<<7) }))
	r.stats.AckLowered, r.stats.SACKRemoved, r.stats.Limited = 1, 1, 1
	r.out = func(p *tcp) {
		p.seq, p.ack, p.window, p.tsVal, p.sack, p.nopSACK = e.s(50), e.c(100), 640, 1000+tsDelta, nil, 10
	}
	r.after = also(seen(e.s(60), e.c(356)), held, func(s *slotState) { s.TSVal = 1000 + (tsDelta & 0xffffffff) })
	add(r)
	r = egress("open passes everything", mod(fin, func(p *tcp) { p.ack = e.c(200) }), with(live, func(s *slotState) { s.Mode = gate.ModeOpen }))
	r.after = counted
	add(r)
	r = egress("open translates", mod(fin, func(p *tcp) { p.seq, p.ack = e.s(50)-delta, e.c(200) }), with(xlate, func(s *slotState) { s.Mode = gate.ModeOpen }))
	r.out = func(p *tcp) { p.seq, p.tsVal = e.s(50), 1000+tsDelta }
	r.after = also(seen(e.s(61), e.c(200)), func(s *slotState) { s.TSVal = 1000 + (tsDelta & 0xffffffff) })
	add(r)
	r = egress("extension headers are skipped", mod(data, func(p *tcp) { p.extensions, p.ack = 8, e.c(101) }), live)
	r.out, r.stats.AckLowered = func(p *tcp) { p.ack = e.c(100) }, 1
	r.after = also(seen(e.s(60), e.c(101)), held)
	add(r)

	// From the client.
	in := tcp{seq: e.c(100), ack: e.s(50), flags: flagACK | 8, window: 900, tsVal: 5000, tsEcr: echoed, payload: 20}
	r = ingress("the engine's packet passes in", in, with(live, func(s *slotState) { s.Mode = gate.ModeOutage }))
	r.mark = testSecret
	add(r)
	r = ingress("another mark says nothing", in, with(live, func(s *slotState) { s.Mode = gate.ModeOutage }))
	r.mark, r.verdict, r.stats.OutageIn = testSecret+1, gatetest.Held, 1
	r.after = func(s *slotState) { s.HeldIn++ }
	add(r)
	r = ingress("live passes untouched", in, live)
	add(r)
	r = ingress("unknown flow passes in", in, with(live, func(s *slotState) { s.Mode = gate.ModeOutage }))
	r.unknown = true
	add(r)
	for _, m := range []gate.Mode{gate.ModeOutage, gate.ModeSpoof} {
		r = ingress("outage and spoof hold what arrives", in, with(live, func(s *slotState) { s.Mode = m }))
		r.verdict, r.stats.OutageIn = gatetest.Held, 1
		r.after = func(s *slotState) { s.HeldIn++ }
		add(r)
	}
	for _, m := range []gate.Mode{gate.ModeLive, gate.ModeOpen} {
		r = ingress("ACK, TSecr and SACK are translated", mod(in, func(p *tcp) { p.ack, p.sack = e.s(10), [][2]uint32{{e.s(20), e.s(30)}, {e.s(40), e.s(45)}} }),
			with(xlate, func(s *slotState) { s.Mode = m }))
		r.out = func(p *tcp) {
			p.ack, p.tsEcr = e.s(10)-delta, echoed-tsDelta
			p.sack = [][2]uint32{{e.s(20) - delta, e.s(30) - delta}, {e.s(40) - delta, e.s(45) - delta}}
		}
		add(r)
	}
	r = ingress("ACK of more than was sent is clamped", mod(in, func(p *tcp) { p.ack = e.s(51) }), xlate)
	r.out = func(p *tcp) { p.ack, p.tsEcr = e.s(50)-delta, echoed-tsDelta }
	r.stats.AckClamped = 1
	add(r)
	r = ingress("ACK from before the socket's first byte is raised", mod(in, func(p *tcp) { p.ack = e.s(4) }), xlate)
	r.out = func(p *tcp) { p.ack, p.tsEcr = e.s(5)-delta, echoed-tsDelta }
	r.stats.AckClamped = 1
	add(r)
	r = ingress("TSecr 0 stays", mod(in, func(p *tcp) { p.tsEcr = 0 }), xlate)
	r.out = func(p *tcp) { p.ack = e.s(50) - delta }
	add(r)
	r = ingress("RST without ACK passes in", mod(in, func(p *tcp) { p.flags = flagRST }), xlate)
	add(r)

	// What repeats itself where a SYN cookie had begun the connection.
	closed := with(live, func(s *slotState) { s.Flags |= gate.FlagCookie; s.FIN, s.FINEnd = true, e.s(50) })
	again := mod(in, func(p *tcp) { p.seq, p.payload = e.c(40), 50 }) // up to the kernel's ACK
	for name, s := range map[string]slotState{"without a cookie": with(closed, func(s *slotState) { s.Flags &^= gate.FlagCookie }),
		"before the server has closed": with(closed, func(s *slotState) { s.FIN, s.FINEnd = false, 0 })} {
		r = ingress("repeated data passes "+name, again, s)
		add(r)
	}
	r = ingress("repeated data is held when a cookie's server has closed", again, closed)
	r.verdict, r.stats.OutageIn = gatetest.Held, 1
	add(r)
	r = ingress("so is a repeated ACK, and a probe, which the core answers", mod(again, func(p *tcp) { p.payload = 0 }), closed)
	r.verdict, r.stats.OutageIn = gatetest.Held, 1
	add(r)
	r = ingress("new data passes to a cookie's socket", mod(again, func(p *tcp) { p.payload = 51 }), closed)
	add(r)
	r = ingress("the newest ACK passes to a cookie's socket", mod(again, func(p *tcp) { p.seq, p.payload = e.c(90), 0 }), closed)
	add(r)
	r = ingress("RST passes to a cookie's socket", mod(again, func(p *tcp) { p.flags |= flagRST }), closed)
	add(r)
	r = ingress("repeated data passes while the engine is dead", again, closed)
	r.engine = deadOpen
	add(r)
	crashed := with(live, func(s *slotState) {
		s.Flags |= gate.FlagCookie | gate.FlagUnmodified
		s.Released = gate.ReleasedCrashed
	})
	first := mod(in, func(p *tcp) { p.seq, p.payload = e.c(90), 10 })
	r = ingress("new data is held when a cookie's process has crashed", first, crashed)
	r.verdict, r.stats.OutageIn = gatetest.Held, 1
	add(r)
	r = ingress("RST passes when a cookie's process has crashed", mod(first, func(p *tcp) { p.flags |= flagRST }), crashed)
	add(r)
	r = ingress("new data passes without a cookie when the process has crashed", first, with(crashed, func(s *slotState) { s.Flags &^= gate.FlagCookie }))
	add(r)

	// SYNs.
	syn := tcp{seq: e.c(-1), flags: flagSYN, window: 64000}
	options := func(raw ...byte) tcp { return mod(syn, func(p *tcp) { p.raw = raw }) }
	mss := []byte{2, 4, 5, 0xb4}
	tfo := append(append([]byte{}, mss...), 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1)
	r = ingress("SYN passes", options(mss...), live)
	r.unknown = true
	add(r)
	r = ingress("SYN is held in an outage", options(mss...), live)
	r.unknown, r.outage, r.verdict, r.stats.SYNHeld = true, true, gatetest.Held, 1
	add(r)
	r = ingress("data passes in an outage of others", in, live)
	r.outage = true
	add(r)
	r = ingress("Fast Open is removed", options(tfo...), live)
	r.unknown, r.stats.SYNStripped = true, 1
	r.out = func(p *tcp) { p.raw = append(append([]byte{}, mss...), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1) }
	add(r)
	r = ingress("MPTCP and the Fast Open experiment are removed at odd offsets", options(1, 30, 4, 0, 1, 254, 5, 0xf9, 0x89, 7, 2, 4, 5, 0xb4, 1, 0), live)
	r.unknown, r.stats.SYNStripped = true, 1
	r.out = func(p *tcp) { p.raw = []byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 5, 0xb4, 1, 0} }
	add(r)
	r = ingress("Accurate ECN is not offered", mod(options(mss...), func(p *tcp) { p.flags |= 0xc0; p.ae = true }), live)
	r.unknown, r.out = true, func(p *tcp) { p.ae = false }
	add(r)
	r = ingress("nor with Fast Open", mod(options(tfo...), func(p *tcp) { p.flags |= 0xc0; p.ae = true }), live)
	r.unknown, r.stats.SYNStripped = true, 1
	r.out = func(p *tcp) {
		p.ae = false
		p.raw = append(append([]byte{}, mss...), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	}
	add(r)
	r = ingress("what is no SYN keeps the bit", mod(in, func(p *tcp) { p.ae = true }), live)
	add(r)
	for _, kind := range []byte{19, 29} {
		r = ingress("signed SYN is refused", options(append([]byte{1, 1, kind, 18}, make([]byte, 16)...)...), live)
		r.unknown, r.verdict, r.events, r.stats.SYNRefused = true, gatetest.Held, []gate.EventKind{gate.EventRefused}, 1
		add(r)
	}
	r = ingress("the last byte of forty options counts", options(append(make([]byte, 0, 40),
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 34, 4, 9, 9)...), live)
	r.unknown, r.stats.SYNStripped = true, 1
	r.out = func(p *tcp) { p.raw = append(append([]byte{}, p.raw[:36]...), 1, 1, 1, 1) }
	add(r)
	r = ingress("an option that lies about its length ends the list", options(2, 4, 5, 0xb4, 34, 9, 1, 1), live)
	r.unknown = true
	add(r)

	all = append(all, unmodifiedRules(e, live, xlate)...)
	all = append(all, refusalRules(e, live, xlate)...)
	all = append(all, restoreRules(e, live)...)
	all = append(all, proofRules(e, live)...)
	all = append(all, outputRules(e, live, xlate)...)
	all = append(all, fragmentRules(e, live, xlate, data, in)...)
	all = append(all, deadRules(e, live, xlate)...)
	return append(all, icmpRules(e, live, xlate, data, in)...)
}
