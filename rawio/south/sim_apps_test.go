package south_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/rawiotest"
	"github.com/ftnet/ftnet/rawio/segment"
)

// ending is who ends a connection, and how.
type ending int

const (
	clientCloses  ending = iota // the server closes at EOF
	serverShuts                 // CloseWrite by the server before the client's end; it reads on
	serverAborts                // linger 0
	clientAborts                // RST
	closedBehind                // the server closes the descriptor at EOF and tells nobody
	bothClose                   // the server closes its side when it has all, as the client does
	endingsNumber = iota
)

// script of one client.
type behaviour struct {
	dialAt  time.Duration
	bytes   int           // to be sent
	chunk   int           // most that is sent at once
	pause   time.Duration // between chunks
	padding int           // bytes in each reply beside the record
	greet   bool          // the server speaks first
	end     ending
}

// record is the server's reply to a read: its number, the bytes read so far,
// and their checksum. It depends on how the stream was cut into reads.
const recordLen = 35

func appendRecord(b []byte, reads, total int, sum uint32, padding int) []byte {
	b = fmt.Appendf(b, "%8d %8d %08x %8d", reads, total, sum, padding)
	for i := range padding {
		b = append(b, byte(total+i))
	}
	return b
}

// clientByte is what the n-th client sends at an offset.
func clientByte(n, off int) byte { return byte(off*7 + off>>8 + off>>16 + n) }

// clientApp sends, and checks each record that it gets.
type clientApp struct {
	w    *world
	n    int
	b    behaviour
	sock *rawiotest.Socket
	flow segment.Flow

	sent     int
	shut     bool
	in       []byte // not yet parsed
	reads    int
	total    int
	skip     int
	sum      uint32
	summed   int
	bye      bool
	done     bool
	handler  *handler
	head     *head
	headSlot uint32
	resting  bool
}

func (a *clientApp) mayReset() bool { return a.b.end == serverAborts || a.b.end == clientAborts }

// served returns where the newest execution of the handler stands, and whether
// it has closed its side.
func (a *clientApp) served() (int, bool) {
	if a.head == nil {
		return 0, false
	}
	return a.head.finAt, a.head.shut
}

// outLen is how much output any execution has given to the kernel.
func (a *clientApp) outLen() int {
	if a.head == nil {
		return 0
	}
	return a.head.most
}

func (w *world) dial(n int, b behaviour) {
	a := &clientApp{w: w, n: n, b: b}
	w.clients = append(w.clients, a)
	w.clock.After(b.dialAt, func() {
		local := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), uint16(40000+n))
		a.flow = segment.Flow{Client: local, Server: serverAddr}
		s, err := w.dialler.Connect(local, serverAddr)
		if err != nil {
			panic(err)
		}
		a.sock = s
		w.flows[a.flow] = &flow{app: a, irs: s.Info().ISS}
		s.Notify = a.step
		s.SetKeepAlive(30*time.Second, time.Second, 9)
	})
}

func (a *clientApp) step() {
	if a.done {
		return
	}
	if err := a.sock.Err(); err != nil && !a.mayReset() {
		a.w.fail("client %d: %v after %d records, %d bytes sent", a.n, err, a.reads, a.sent)
	}
	if a.sock.State() == rawiotest.SynSent {
		return
	}
	a.receive()
	if !a.done && !a.resting {
		a.send()
	}
}

func (a *clientApp) send() {
	if a.b.end == clientAborts && a.sent > a.b.bytes/2 {
		a.w.note("client %d aborts", a.n)
		a.done = true
		a.sock.Abort()
		return
	}
	for a.sent < a.b.bytes {
		p := make([]byte, min(a.b.bytes-a.sent, 1+a.w.rand.IntN(a.b.chunk)))
		for i := range p {
			p[i] = clientByte(a.n, a.sent+i)
		}
		n, err := a.sock.Send(p)
		a.sent += n
		if err != nil {
			if !errors.Is(err, rawiotest.ErrWouldBlock) {
				a.ended(err)
			}
			return
		}
		if a.b.pause > 0 {
			a.resting = true
			a.w.clock.After(a.w.delay(a.b.pause), func() { a.resting = false; a.step() })
			return
		}
	}
	if !a.shut {
		a.shut = true
		a.sock.CloseWrite()
	}
}

func (a *clientApp) receive() {
	buf := make([]byte, 16<<10)
	for !a.done {
		n, err := a.sock.Recv(buf)
		if n == 0 && err == nil {
			break
		}
		a.in = append(a.in, buf[:n]...)
		a.parse()
		switch {
		case errors.Is(err, rawiotest.ErrWouldBlock):
			return
		case errors.Is(err, io.EOF):
			if len(a.in) > 0 || a.skip > 0 || !a.bye {
				a.w.fail("client %d: the stream ends early: %d bytes left, last record %d of %d bytes", a.n, len(a.in), a.reads, a.total)
			}
			if a.sent == a.b.bytes {
				a.done = true
				a.sock.Close()
			}
			return
		case err != nil:
			a.ended(err)
			return
		}
	}
}

func (a *clientApp) ended(err error) {
	if !a.mayReset() {
		a.w.fail("client %d: %v", a.n, err)
	}
	a.done = true
	a.sock.Close()
}

// parse checks the records against what was sent.
func (a *clientApp) parse() {
	for {
		n := min(a.skip, len(a.in))
		for i, x := range a.in[:n] {
			if want := byte(a.total + a.padding() - a.skip + i); x != want {
				a.w.fail("client %d: padding byte %#x, want %#x", a.n, x, want)
				return
			}
		}
		a.skip -= n
		a.in = a.in[n:]
		if a.skip > 0 || len(a.in) < recordLen {
			return
		}
		var reads, total, padding int
		var sum uint32
		if _, err := fmt.Sscanf(string(a.in[:recordLen]), "%d %d %x %d", &reads, &total, &sum, &padding); err != nil {
			a.w.fail("client %d: record %q: %v", a.n, a.in[:recordLen], err)
			return
		}
		a.in = a.in[recordLen:]
		if total > a.sent || total < a.total || a.bye {
			a.w.fail("client %d: record of %d bytes after %d, %d are sent", a.n, total, a.total, a.sent)
			return
		}
		for ; a.summed < total; a.summed++ {
			a.sum = crc32.Update(a.sum, crc32.IEEETable, []byte{clientByte(a.n, a.summed)})
		}
		if sum != a.sum {
			a.w.fail("client %d: sum of %d bytes is %08x, want %08x", a.n, total, sum, a.sum)
		}
		if reads < 0 { // the last record
			a.bye = true
		} else if reads != a.reads+1 && !(reads == 0 && a.b.greet) {
			a.w.fail("client %d: record %d follows %d", a.n, reads, a.reads)
		} else {
			a.reads = reads
		}
		a.total, a.skip = total, padding
	}
}

func (a *clientApp) padding() int { return a.b.padding }

// process is one life of the server.
type process struct {
	w       *world
	p       *rawiotest.Process
	l       *rawiotest.Listener
	dead    bool
	workers []*worker // of an unmodified server, may be none
}

// start runs the server, now, and tells the engine when it listens.
func (w *world) start() {
	w.starts++
	w.note("server starts")
	p := &process{w: w, p: w.server.NewProcess()}
	w.process = p
	w.do(func() { w.protect() })
	l, err := p.p.Listen(serverAddr)
	if err != nil {
		panic(err)
	}
	p.l = l
	l.Notify = p.accept
	for range w.plan.wire.workers {
		p.workers = append(p.workers, &worker{p: w.server.NewProcess()})
	}
	w.clock.After(w.delay(w.plan.newsDelay), func() {
		if !p.dead {
			w.do(func() { w.note("listening: %d", w.machine.Listening(serverPort)) })
		}
	})
}

// crash kills the server; the engine hears of it a little later, and it is
// started again after the pause.
func (w *world) crash(pause time.Duration) {
	p := w.process
	if p == nil || p.dead {
		return
	}
	w.crashes++
	w.note("CRASH")
	p.dead = true
	w.kill(p.p)
	p.killWorkers(w.rand.IntN(2) == 0)
	w.clock.After(w.delay(w.plan.newsDelay), func() {
		p.killWorkers(true)
		w.note("crash is known")
		w.do(func() { w.machine.Crash(serverPort) })
		w.clock.After(pause, w.start)
	})
}

func (p *process) accept() {
	for {
		by, k := p.p, p.anyWorker()
		if k != nil {
			by = k.p
		}
		s := p.l.AcceptBy(by)
		if s == nil {
			return
		}
		flow := segment.Flow{Client: s.RemoteAddr(), Server: s.LocalAddr()}
		c := p.w.machine.Conn(flow)
		if c == nil {
			continue // reset meanwhile
		}
		a := p.w.flows[flow].app
		h := p.w.env.heads[c.Slot()]
		if p.w.plan.unmodified {
			h = a.unmodifiedHead(c.Slot(), c.Generation())
		}
		if !h.Accepted {
			p.w.acceptSeq++
			h.Accepted, h.AcceptSeq = true, p.w.acceptSeq
		}
		x := &handler{w: p.w, p: p, worker: k, s: s, a: a, h: h, slot: c.Slot(), id: c}
		if h.prepared {
			x.una, x.logged = h.una, h.stable
			h.out = h.out[:h.sent]
		}
		h.shut = false
		a.handler, a.head = x, h
		s.Notify = x.step
		s.SetKeepAlive(2*time.Minute, 10*time.Second, 9)
		p.w.clock.After(p.w.delay(time.Millisecond), x.step)
	}
}

// handler is one execution of the application on one connection, with the
// north side below it: reads are recorded, replayed from the log and then
// taken from the kernel; writes are compared with the record, and given to the
// kernel from una on.
type handler struct {
	w      *world
	p      *process
	worker *worker // nil: the process itself
	s      *rawiotest.Socket
	a      *clientApp
	h      *head
	slot   uint32
	id     interface{ Generation() uint32 }

	una, logged int64
	off         int64 // read so far
	readNo      int
	buffer      []byte // from the kernel, not yet read
	sum         uint32
	greeted     bool
	thinking    bool
	awake       bool // has thought about the next read
	eof         bool

	out    []byte // written, not yet taken
	pos    int64  // of out in the stream
	ending bool   // CloseWrite when out is empty
	shut   bool
	done   bool
}

func (x *handler) step() {
	if x.dead() || x.done {
		return
	}
	if !x.greeted {
		x.greeted = true
		if x.a.b.greet {
			x.out = appendRecord(x.out, 0, 0, 0, x.a.b.padding)
		}
	}
	for x.flush() && x.read() {
	}
	x.finish()
}

// flush gives output to the kernel and reports whether all was taken.
func (x *handler) flush() bool {
	for len(x.out) > 0 {
		end := int64(len(x.h.out))
		p := x.out
		x.h.most = max(x.h.most, int(x.pos)+len(p)) // the intention comes first
		switch {
		case x.pos < x.una: // acknowledged by the client: compared and discarded
			p = p[:min(int64(len(p)), x.una-x.pos)]
			x.compare(p)
		case x.pos < end:
			p = p[:min(int64(len(p)), end-x.pos)]
			x.compare(p)
			n, err := x.s.Send(p)
			if err != nil {
				return x.failed(err)
			}
			p = p[:n]
		default:
			n, err := x.s.Send(p)
			if err != nil {
				return x.failed(err)
			}
			p = p[:n]
			x.h.out = append(x.h.out, p...)
		}
		x.pos += int64(len(p))
		x.out = x.out[len(p):]
	}
	return true
}

func (x *handler) failed(err error) bool {
	if !errors.Is(err, rawiotest.ErrWouldBlock) {
		if !x.a.mayReset() {
			x.w.fail("handler %d: write: %v", x.a.n, err)
		}
		x.end()
	}
	return false
}

func (x *handler) compare(p []byte) {
	want := x.h.out[x.pos:]
	for i := range p {
		if i < len(want) && p[i] != want[i] {
			x.w.fail("handler %d: the output differs at %d", x.a.n, x.pos+int64(i))
			return
		}
	}
}

// read does one read of the application and reports whether there was one.
func (x *handler) read() bool {
	if x.eof || x.done || x.ending && !x.reads() {
		return false
	}
	if x.w.plan.unmodified {
		return x.readWire()
	}
	x.pull()
	available := x.logged - x.off
	if available <= 0 {
		available = int64(len(x.buffer))
	}
	n := int64(0)
	if x.readNo < len(x.h.reads) { // with the logged length
		n = int64(x.h.reads[x.readNo])
		if max(x.logged-x.off, 0)+int64(len(x.buffer)) < n {
			return false
		}
	} else if available > 0 {
		n = min(available, 1+x.w.rand.Int64N(4096))
		x.h.reads = append(x.h.reads, int(n))
	}
	if n == 0 {
		return false
	}
	x.readNo++
	p := make([]byte, n)
	k := 0
	if x.off < x.logged {
		c := x.w.machine.BySlot(x.slot)
		if c == nil || c.Generation() != x.id.Generation() {
			if !x.a.mayReset() {
				x.w.fail("handler %d: its log is gone", x.a.n)
			}
			x.end()
			return false
		}
		var err error
		if k, err = x.w.log.Read(c.ID, p[:min(n, x.logged-x.off)], x.off); err != nil {
			x.w.fail("handler %d: log: %v", x.a.n, err)
		}
	}
	copied := copy(p[k:], x.buffer)
	x.buffer = x.buffer[copied:]
	for i, b := range p {
		if want := clientByte(x.a.n, int(x.off)+i); b != want {
			x.w.fail("handler %d reads %#x at %d, want %#x", x.a.n, b, x.off+int64(i), want)
			return false
		}
	}
	x.off += n
	x.sum = crc32.Update(x.sum, crc32.IEEETable, p)
	x.handle()
	return true
}

// reads says whether the application still reads after it has closed its side.
func (x *handler) reads() bool { return x.a.b.end == serverShuts || x.a.b.end == bothClose }

// handle is the application.
func (x *handler) handle() {
	if x.ending {
		return
	}
	b := x.a.b
	x.out = appendRecord(x.out, x.readNo, int(x.off), x.sum, b.padding)
	switch {
	case b.end == serverAborts && int(x.off) > b.bytes/2:
		x.w.note("handler %d aborts", x.a.n)
		x.h.Closing = true
		x.s.SetPriority(gate.PrioClose)
		x.done = true
		x.s.Abort()
	case b.end == serverShuts && int(x.off) > b.bytes/2, b.end == bothClose && int(x.off) >= b.bytes:
		x.bye()
	}
}

func (x *handler) bye() {
	x.out = appendRecord(x.out, -1, int(x.off), x.sum, x.a.b.padding)
	x.ending = true
}

// pull takes what the kernel has.
func (x *handler) pull() {
	if len(x.buffer) >= 8192 {
		return
	}
	buf := make([]byte, 8192)
	n, err := x.s.Recv(buf)
	x.buffer = append(x.buffer, buf[:n]...)
	switch {
	case errors.Is(err, rawiotest.ErrWouldBlock) || err == nil:
	case errors.Is(err, io.EOF):
		if len(x.buffer) == 0 && x.off >= x.logged && x.readNo >= len(x.h.reads) {
			x.eof = true
			if x.a.b.end != clientAborts && int(x.off) != x.a.b.bytes {
				x.w.fail("handler %d: EOF at %d of %d", x.a.n, x.off, x.a.b.bytes)
			}
		}
	default:
		x.failed(err)
	}
}

// finish closes what is to be closed.
func (x *handler) finish() {
	if x.done {
		return
	}
	if x.eof && !x.ending {
		x.bye()
		x.flush()
	}
	if x.done || !x.ending || len(x.out) > 0 {
		return
	}
	if !x.shut && x.reads() {
		x.shut, x.h.shut, x.h.finAt = true, true, int(x.pos)
		x.w.note("handler %d shuts at %d", x.a.n, x.pos)
		x.s.SetPriority(gate.PrioShut)
		x.s.CloseWrite()
		for x.read() {
		}
	}
	if x.eof && !x.done {
		x.w.note("handler %d closes at %d", x.a.n, x.pos)
		x.h.shut, x.h.finAt = true, int(x.pos)
		if x.a.b.end != closedBehind {
			x.h.Closing = true
			x.s.SetPriority(gate.PrioClose)
		}
		x.done = true
		x.s.Close()
	}
}

func (x *handler) end() {
	if !x.done {
		x.done = true
		x.h.Closing = true
		x.s.SetPriority(gate.PrioClose)
		x.s.Close()
	}
}
