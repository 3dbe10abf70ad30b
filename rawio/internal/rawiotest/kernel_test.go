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
	cookie     uint32   // the host's of its last SYN cookie
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

// answersByCookie has the host answer a SYN by a SYN cookie.
func (x *script) answersByCookie() {
	x.cookies(CookiesAlways)
	x.say(syn, 0, 0, 0)
	x.cookies(CookiesWhenFull)
	x.cookie = x.iss
}

// ofCookie makes a segment the third ACK of the last SYN cookie.
func (x *script) ofCookie(p *Packet) {
	p.Ack = x.cookie + 1
	if x.timestamps {
		p.Options.TSEcr = x.times[0]
	}
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
