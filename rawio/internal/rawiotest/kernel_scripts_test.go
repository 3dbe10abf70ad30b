package rawiotest

import (
	"github.com/ftnet/ftnet/internal/segment"
)

// scripts are what Stack is to do as the kernel does.
var scripts = map[string]func(x *script){
	"data and close": func(x *script) {
		s := x.open()
		x.say(ack, 1, 1, 10)
		x.reads(s, 100)
		x.does("write", func() { s.write(20) })
		x.say(ack, 11, 21, 0)
		x.does("close", s.close)
		x.say(ack, 11, 22, 0)
		x.say(fin, 11, 22, 0)
	},
	"ack above snd_nxt":  func(x *script) { x.open(); x.say(ack, 1, 2, 0) },
	"ack above, data":    func(x *script) { s := x.open(); x.say(ack, 1, 2, 5); x.reads(s, 9) },
	"ack far below":      func(x *script) { s := x.open(); x.say(ack, 1, -100000, 5); x.reads(s, 9) },
	"ack a little below": func(x *script) { s := x.open(); x.say(ack, 1, 0, 5); x.reads(s, 9) },
	"data again":         func(x *script) { x.open(); x.say(ack, 1, 1, 5); x.say(ack, 1, 1, 5) },
	"data overlapping":   func(x *script) { s := x.open(); x.say(ack, 1, 1, 5); x.say(ack, 3, 1, 5); x.reads(s, 100) },
	"data far above":     func(x *script) { x.open(); x.say(ack, 1<<24, 1, 5) },
	"empty far above":    func(x *script) { x.open(); x.say(ack, 1<<24, 1, 0); x.say(ack, 1<<24, 1, 0) },
	"keepalive probe":    func(x *script) { x.open(); x.say(ack, 0, 1, 0); x.say(ack, 0, 1, 0) },
	"gap, filled": func(x *script) {
		s := x.open()
		x.say(ack, 11, 1, 10)
		x.say(ack, 31, 1, 10)
		x.reads(s, 100)
		x.say(ack, 1, 1, 10)
		x.say(ack, 21, 1, 10)
		x.reads(s, 100)
	},
	"gap, FIN first": func(x *script) {
		s := x.open()
		x.say(fin, 11, 1, 10)
		x.say(ack, 1, 1, 10)
		x.reads(s, 100)
		x.reads(s, 1)
	},
	"SYN in window": func(x *script) { x.open(); x.say(syn, 5, 0, 0) },
	"SYN again":     func(x *script) { x.open(); x.say(syn, 0, 0, 0) },
	"SYN far above": func(x *script) { x.open(); x.say(syn, 1<<24, 0, 0) },
	"RST in window": func(x *script) { s := x.open(); x.say(rst, 2, 0, 0); x.reads(s, 1) },
	"RST below":     func(x *script) { s := x.open(); x.say(rst, 0, 0, 0); x.reads(s, 1) },
	"RST far above": func(x *script) { s := x.open(); x.say(rst, 1<<24, 0, 0); x.reads(s, 1) },
	"RST exact": func(x *script) {
		s := x.open()
		x.say(ack, 1, 1, 5)
		x.say(rst, 6, 0, 0)
		x.reads(s, 10)
		x.reads(s, 10)
		x.say(ack, 6, 1, 0)
	},
	"orphan challenges SYN": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(syn, 0, 0, 0)
		x.say(rst, 1, 0, 0)
		x.say(syn, 0, 0, 0)
	},
	"orphan gets data": func(x *script) { s := x.open(); x.does("close", s.close); x.say(ack, 1, 1, 5); x.say(ack, 6, 1, 5) },
	"orphan, FIN acked, data": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(ack, 1, 2, 0)
		x.say(ack, 1, 2, 5)
		x.say(ack, 6, 2, 5)
	},
	"orphan, FIN and ack": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(fin, 1, 2, 0)
		x.say(fin, 1, 2, 0)
		x.say(ack, 2, 2, 0)
	},
	"orphan, data and FIN": func(x *script) { s := x.open(); x.does("close", s.close); x.say(fin, 1, 2, 5) },
	"simultaneous close": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(fin, 1, 1, 0)
		x.say(ack, 2, 2, 0)
		x.say(ack, 2, 2, 5)
	},
	"TIME_WAIT, old SYN": func(x *script) { s := x.open(); x.does("close", s.close); x.say(fin, 1, 2, 0); x.say(syn, -5, 0, 0) },
	"TIME_WAIT, RST": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(fin, 1, 2, 0)
		x.say(rst, 2, 0, 0)
		x.say(ack, 2, 2, 0)
	},
	"close with unread": func(x *script) { s := x.open(); x.say(ack, 1, 1, 5); x.does("close", s.close); x.say(ack, 6, 1, 0) },
	"abort":             func(x *script) { s := x.open(); x.does("abort", s.abort); x.say(ack, 1, 1, 0) },
	"not accepted": func(x *script) {
		x.say(syn, 0, 0, 0)
		x.say(ack, 1, 1, 0)
		x.does("close listener", x.stop)
		x.say(ack, 1, 1, 0)
	},
	"not accepted, data":       func(x *script) { x.say(syn, 0, 0, 0); x.say(ack, 1, 1, 5); x.does("close listener", x.stop) },
	"half-open, listener gone": func(x *script) { x.say(syn, 0, 0, 0); x.does("close listener", x.stop); x.say(ack, 1, 1, 0) },
	"half-open, listener gone, SYN again": func(x *script) {
		x.say(syn, 0, 0, 0)
		x.does("close listener", x.stop)
		x.say(syn, 0, 0, 0)
		x.say(ack, 1, 1, 0)
	},
	"half-open, another listener": func(x *script) {
		x.say(syn, 0, 0, 0)
		x.does("close listener", x.stop)
		x.does("listen", func() { x.stop = x.listen(x.server) })
		x.say(ack, 1, 1, 0)
		x.say(syn, 0, 0, 0)
	},
	"half-open, SYN again": func(x *script) { x.say(syn, 0, 0, 0); x.say(ack, 1, 1, 0); x.accept() },
	"half-open, wrong ack": func(x *script) { x.say(syn, 0, 0, 0); x.say(ack, 1, 2, 0); x.say(ack, 1, 1, 0); x.accept() },
	"cookie": func(x *script) {
		x.answersByCookie()
		x.say(ack, 1, 1, 5, x.ofCookie)
		x.reads(x.accept(), 10)
	},
	"cookie, then half-open": func(x *script) {
		x.answersByCookie()
		x.say(syn, 0, 0, 0)
		x.say(ack, 1, 1, 0, x.ofCookie)
		x.say(ack, 1, 1, 5)
		x.reads(x.accept(), 10)
		x.say(ack, 6, 1, 0)
	},
	"half-open, RST":          func(x *script) { x.say(syn, 0, 0, 0); x.say(rst, 1, 0, 0); x.say(ack, 1, 1, 0) },
	"half-open, RST too far":  func(x *script) { x.say(syn, 0, 0, 0); x.say(rst, 1<<24, 0, 0); x.say(ack, 1, 1, 0); x.accept() },
	"half-open, other SYN":    func(x *script) { x.say(syn, 0, 0, 0); x.say(syn, 7, 0, 0); x.say(ack, 1, 1, 0) },
	"half-open, data and ack": func(x *script) { x.say(syn, 0, 0, 0); x.say(ack, 1, 1, 5); s := x.accept(); x.reads(s, 10) },
	"half-open, FIN": func(x *script) {
		x.say(syn, 0, 0, 0)
		x.say(fin, 1, 1, 5)
		s := x.accept()
		x.reads(s, 10)
		x.reads(s, 10)
	},
	"half-close of the peer": func(x *script) {
		s := x.open()
		x.say(fin, 1, 1, 5)
		x.reads(s, 10)
		x.reads(s, 10)
		x.does("write", func() { s.write(30) })
		x.say(ack, 7, 31, 0)
		x.does("close", s.close)
		x.say(ack, 7, 32, 0)
		x.say(ack, 7, 32, 0)
	},
	"half-close of the host": func(x *script) {
		s := x.open()
		x.does("shutdown", s.shutdown)
		x.say(ack, 1, 2, 5)
		x.reads(s, 10)
		x.does("close", s.close)
		x.say(ack, 6, 2, 5)
	},
	"FIN again":       func(x *script) { x.open(); x.say(fin, 1, 1, 0); x.say(fin, 1, 1, 0); x.say(ack, 2, 1, 5) },
	"CLOSE_WAIT, SYN": func(x *script) { x.open(); x.say(fin, 1, 1, 0); x.say(syn, 0, 0, 0) },
	"LAST_ACK, SYN":   func(x *script) { s := x.open(); x.say(fin, 1, 1, 0); x.does("close", s.close); x.say(syn, 0, 0, 0) },
	"written, then death": func(x *script) {
		s := x.open()
		x.does("write", func() { s.write(30) })
		x.does("close", s.close)
		x.say(ack, 1, 31, 0)
		x.say(ack, 1, 32, 0)
	},
	"destroy":           func(x *script) { s := x.open(); x.destroys(); x.say(ack, 1, 1, 0); x.reads(s, 1); x.destroys() },
	"destroy, then SYN": func(x *script) { x.open(); x.destroys(); x.destroys(); x.say(syn, 50, 0, 0) },
	"orphan, FIN acked, SYN": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(ack, 1, 2, 0)
		x.say(syn, 0, 0, 0)
		x.say(syn, 500, 0, 0)
	},
	"orphan, FIN acked, RST": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(ack, 1, 2, 0)
		x.say(rst, 9, 0, 0)
		x.say(rst, 1, 0, 0)
		x.say(ack, 1, 2, 0)
	},
	"orphan, FIN acked, old": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(ack, 1, 2, 0)
		x.say(ack, 0, 2, 0)
		x.say(ack, 1, 2, 0)
		x.say(fin, 9, 2, 0)
	},
	"destroy, unread": func(x *script) { s := x.open(); x.say(ack, 1, 1, 5); x.destroys(); x.reads(s, 9); x.reads(s, 9) },
	"destroy orphan":  func(x *script) { s := x.open(); x.does("close", s.close); x.destroys(); x.say(syn, 0, 0, 0) },
	"destroy orphan, unacked data": func(x *script) {
		s := x.open()
		x.does("write", func() { s.write(9) })
		x.does("close", s.close)
		x.destroys()
		x.say(syn, 0, 0, 0)
	},
	"destroy orphan in FIN_WAIT2": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(ack, 1, 2, 0)
		x.destroys()
		x.say(syn, 0, 0, 0)
	},
	"destroy LAST_ACK": func(x *script) {
		s := x.open()
		x.say(fin, 1, 1, 0)
		x.does("close", s.close)
		x.destroys()
		x.say(ack, 2, 2, 0)
	},
	"destroy CLOSE_WAIT": func(x *script) { x.open(); x.say(fin, 1, 1, 0); x.destroys(); x.say(ack, 2, 2, 0) },
	"destroy TIME_WAIT": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(fin, 1, 2, 0)
		x.destroys()
		x.say(ack, 2, 2, 0)
	},
	"destroy half-open":     func(x *script) { x.say(syn, 0, 0, 0); x.destroys(); x.say(ack, 1, 1, 0) },
	"destroy before accept": func(x *script) { x.say(syn, 0, 0, 0); x.say(ack, 1, 1, 5); x.destroys(); x.say(ack, 6, 1, 0) },
	"ECN": func(x *script) {
		const ece, cwr = segment.ECE, segment.CWR
		marked := func(p *Packet) { p.TOS = ce }
		x.say(syn|ece|cwr, 0, 0, 0)
		x.say(ack, 1, 1, 0)
		s := x.accept()
		x.say(ack, 1, 1, 5)
		x.say(ack, 6, 1, 5, marked)
		x.say(ack, 11, 1, 5)
		x.say(ack|cwr, 16, 1, 5)
		x.say(ack, 21, 1, 5)
		x.does("write", func() { s.write(5) })
		x.say(ack|ece, 26, 6, 0)
		x.does("write", func() { s.write(5) })
		x.say(ack, 26, 11, 0)
		x.does("write", func() { s.write(5) })
	},
	"ECN, half asked for": func(x *script) { x.say(syn|segment.ECE, 0, 0, 0) },
	"closed port": func(x *script) {
		x.does("close listener", x.stop)
		x.say(syn, 0, 0, 0)
		x.say(rst, 1, 0, 0)
		x.say(fin, 9, 5, 3)
	},
	"listener gets an ACK": func(x *script) { x.say(ack, 1, 5, 0); x.say(rst, 1, 5, 0); x.say(segment.FIN, 1, 0, 0) },
	"window closes and opens": func(x *script) {
		s := x.open()
		x.say(ack, 1, 1, 0, func(p *Packet) { p.Window = 0 })
		x.does("write", func() { s.write(10) })
		x.say(ack, 1, 1, 0)
	},
}

// withTimestamps run only on connections that have negotiated them.
var withTimestamps = map[string]func(x *script){
	"PAWS, data":      func(x *script) { s := x.open(); x.say(ack, 1, 1, 5, tsval(peerTime-10)); x.reads(s, 9) },
	"PAWS, RST exact": func(x *script) { s := x.open(); x.say(rst, 1, 1, 0, tsval(peerTime-10)); x.reads(s, 9) },
	"PAWS, SYN":       func(x *script) { x.open(); x.say(syn, 1, 1, 0, tsval(peerTime-10)) },
	"PAWS, half-open": func(x *script) {
		x.say(syn, 0, 0, 0)
		x.say(ack, 1, 1, 5, tsval(peerTime-10))
		x.say(ack, 1, 1, 5)
		x.accept()
	},
	"TIME_WAIT, newer SYN": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(fin, 1, 2, 0)
		x.say(syn, -5, 0, 0, tsval(peerTime+5000))
	},
	"TIME_WAIT, PAWS": func(x *script) {
		s := x.open()
		x.does("close", s.close)
		x.say(fin, 1, 2, 0)
		x.say(ack, 2, 2, 0, tsval(peerTime-10))
	},
}

// strictEcho run only where Config.StrictEcho is what the kernel does, and with timestamps. Its
// clock goes on by a millisecond at least between two SYN-ACKs.
var strictEcho = map[string]func(x *script){
	"half-open, echo of the first": func(x *script) {
		x.answersTwice()
		x.say(ack, 1, 1, 0, x.echoes(false, 0))
		x.accept()
	},
	"half-open, echo of the copy's": func(x *script) {
		x.answersTwice()
		x.say(ack, 1, 1, 0, x.echoes(true, 0))
		x.accept()
	},
	"half-open, echo of neither": func(x *script) {
		x.answersTwice()
		x.say(ack, 1, 1, 5, x.echoes(false, 1<<32-1))
		x.say(ack, 1, 1, 0, x.echoes(true, 0))
		x.accept()
	},
	"half-open, echo of the future": func(x *script) {
		x.answersTwice()
		x.say(ack, 1, 1, 5, x.echoes(true, 1))
		x.say(ack, 1, 1, 0, x.echoes(false, 0))
		x.accept()
	},
}
