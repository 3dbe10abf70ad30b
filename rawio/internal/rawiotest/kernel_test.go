package rawiotest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// script plays one peer against a host and writes down what the host does.
// Numbers are relative: seq to the peer's ISN, ack to the host's.
type script struct {
	host
	t          testing.TB
	peer       netip.AddrPort
	server     netip.AddrPort
	timestamps bool
	iss        uint32   // the host's
	times      []uint32 // of its SYN-ACKs
	log        []string
	seen       map[string]bool
	stop       func() // closes the listener
}

const (
	peerISN  = 0xffffff00 // the numbers wrap soon
	peerTime = 1000
)

func (x *script) note(packets []*Packet) {
	for _, p := range packets {
		if p.Flags.Has(segment.SYN) {
			x.iss = p.Seq
			x.times = append(x.times, p.Options.TSVal)
		}
		ack := ""
		if p.Flags.Has(segment.ACK) {
			ack = fmt.Sprintf(" ack %d", int32(p.Ack-peerISN))
		}
		seq := int32(p.Seq - x.iss)
		if p.Flags == segment.RST|segment.ACK && p.Seq == 0 {
			seq = 0 // refuses a SYN
		}
		if p.TOS&ce != 0 {
			ack += " ect"
		}
		sack := ""
		for _, b := range p.Options.Blocks() {
			sack += fmt.Sprintf(" sack %d:%d", b.Left-peerISN, b.Right-peerISN)
		}
		line := fmt.Sprintf("  < %v seq %d len %d%s%s", p.Flags&^segment.PSH, seq, len(p.Payload), ack, sack)
		if p.Len() > 0 && x.seen[line] {
			continue // the kernel's retransmission timer is at work
		}
		x.seen[line] = true
		x.log = append(x.log, line)
	}
}

// say sends a segment and notes the replies.
func (x *script) say(flags segment.Flags, seq, ack int, payload int, options ...func(*Packet)) {
	p := &Packet{}
	p.Src, p.Dst, p.Flags, p.Window = x.peer, x.server, flags, 8000
	p.Seq, p.Payload = peerISN+uint32(seq), make([]byte, payload)
	if flags.Has(segment.ACK) {
		p.Ack = x.iss + uint32(ack)
	}
	if flags.Has(segment.SYN) {
		p.Options.MSS, p.Options.SACKPermitted = 1000, true
	}
	if x.timestamps {
		p.Options.HasTS, p.Options.TSVal = true, peerTime
	}
	for _, o := range options {
		o(p)
	}
	x.log = append(x.log, fmt.Sprintf("> %v seq %d ack %d len %d", flags, seq, ack, payload))
	x.note(x.send(p))
}

// echoes has a segment echo the timestamp of the host's first SYN-ACK, or of its last one, and d more.
func (x *script) echoes(last bool, d uint32) func(*Packet) {
	return func(p *Packet) {
		p.Options.TSEcr = x.times[0] + d
		if last {
			p.Options.TSEcr = x.times[len(x.times)-1] + d
		}
	}
}

func tsval(v uint32) func(*Packet) { return func(p *Packet) { p.Options.TSVal = v } }

// does notes what the host sends because of f.
func (x *script) does(what string, f func()) {
	x.log = append(x.log, "= "+what)
	f()
	x.note(x.send(nil))
}

func (x *script) reads(s hostSocket, n int) {
	x.log = append(x.log, "= read: "+s.read(n))
	x.note(x.send(nil))
}

func (x *script) destroys() {
	x.log = append(x.log, fmt.Sprintf("= SOCK_DESTROY: %v", x.destroy(x.peer, x.server)))
	x.note(x.send(nil))
}

func (x *script) open() hostSocket {
	x.say(segment.SYN, 0, 0, 0)
	x.say(segment.ACK, 1, 1, 0)
	return x.accept()
}

const (
	fin = segment.FIN | segment.ACK
	ack = segment.ACK
	syn = segment.SYN
	rst = segment.RST
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
	"half-open, SYN again":    func(x *script) { x.say(syn, 0, 0, 0); x.say(ack, 1, 1, 0); x.accept() },
	"half-open, wrong ack":    func(x *script) { x.say(syn, 0, 0, 0); x.say(ack, 1, 2, 0); x.say(ack, 1, 1, 0); x.accept() },
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

// answersTwice has the host answer a SYN and a copy of it.
func (x *script) answersTwice() {
	x.say(syn, 0, 0, 0)
	x.wait(10 * time.Millisecond)
	x.say(syn, 0, 0, 0)
	if n := len(x.times); n < 2 || x.times[0] == x.times[n-1] {
		x.t.Fatalf("SYN-ACKs of the times %d", x.times)
	}
}

// TestStackDoesAsTheKernel plays every script against both and compares.
func TestStackDoesAsTheKernel(t *testing.T) {
	lab := netlabtest.New(t, nil)
	major, minor := kernelVersion(t)
	if major < 6 || major == 6 && minor < 12 {
		testenv.Missing(t, fmt.Sprintf("Stack follows Linux 6.12 and later in details, this is %d.%d", major, minor))
	}
	// A tail loss probe is a retransmission after no more than a few
	// milliseconds, which scripts do not expect.
	if err := lab.Server.Sysctl("ipv4/tcp_early_retrans", "0"); err != nil {
		t.Fatal(err)
	}
	port := uint16(7000)
	for _, timestamps := range []bool{false, true} {
		run := func(name string, play func(*script)) {
			t.Run(fmt.Sprintf("%s/timestamps=%v", strings.ReplaceAll(name, " ", "_"), timestamps), func(t *testing.T) {
				var diff string
				var kernelLog []string
				// Where this process is stopped for longer than 40 ms, the
				// kernel's timers have had their turn: try again.
				for range 3 {
					port++
					model := play1(t, newModelHost(t), port, timestamps, play)
					kernelLog = play1(t, newKernelHost(t, lab, port), port, timestamps, play)
					if diff = cmp.Diff(kernelLog, model); diff == "" {
						return
					}
				}
				t.Errorf("the kernel does (-), Stack does (+):\n%s\nthe kernel's run:\n%s", diff, strings.Join(kernelLog, "\n"))
			})
		}
		for _, name := range names(scripts) {
			run(name, scripts[name])
		}
		if timestamps {
			for _, name := range names(withTimestamps) {
				run(name, withTimestamps[name])
			}
		}
		if timestamps && (major > 6 || minor >= 15) {
			for _, name := range names(strictEcho) {
				run(name, strictEcho[name])
			}
		}
	}
}

func play1(t testing.TB, h host, port uint16, timestamps bool, play func(*script)) []string {
	x := &script{
		host: h, t: t, timestamps: timestamps, seen: map[string]bool{},
		peer:   netip.AddrPortFrom(kernelPeer, port),
		server: netip.AddrPortFrom(netlab.Server4, port),
	}
	x.stop = x.listen(x.server)
	play(x)
	return x.log
}

func names(m map[string]func(*script)) (list []string) {
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func kernelVersion(t *testing.T) (major, minor int) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major, minor
}
