package south_test

import (
	"errors"
	"hash/crc32"
	"io"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

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
	scratch     []byte
	sum         uint32
	greeted     bool
	thinking    bool
	awake       bool // has thought about the next read
	eof         bool

	logBytes []byte // of the log, from off on; nil: not read yet
	asking   bool   // they are being read

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
		if !x.a.mayReset() && !x.w.ghost(x.a) {
			x.w.fail("handler %d: write: %v", x.a.n, err)
		}
		x.end()
	}
	return false
}

func (x *handler) compare(p []byte) {
	want := x.h.out[x.pos:]
	for i := range p {
		if i < len(want) && p[i] != want[i] && x.pos+int64(i) >= x.h.base {
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
	if x.off < x.logged && x.logBytes == nil && !x.readLog() {
		return false
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
		x.tellRead(n)
	}
	if n == 0 {
		return false
	}
	x.readNo++
	p := make([]byte, n)
	k := 0
	if x.off < x.logged {
		k = copy(p, x.logBytes)
		x.logBytes = x.logBytes[k:]
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

// readLog gets what is to be read from the log, all at once, and reports whether
// it is there.
func (x *handler) readLog() bool {
	if x.w.late == nil {
		return x.logRead()
	}
	if !x.asking {
		x.asking = true
		x.w.clock.After(x.w.delay(x.w.plan.log.read), func() {
			x.asking = false
			if !x.dead() && !x.done && x.logRead() {
				x.step()
			}
		})
	}
	return false
}

func (x *handler) logRead() bool {
	if x.w.down { // the next engine is waited for
		x.asking = true
		x.w.clock.After(50*time.Millisecond, func() { x.asking = false; x.step() })
		return false
	}
	c := x.w.machine.BySlot(x.slot)
	if c == nil || c.Generation() != x.id.Generation() {
		if !x.a.mayReset() && !x.w.ghost(x.a) {
			x.w.fail("handler %d: its log is gone", x.a.n)
		}
		x.end()
		return false
	}
	p := make([]byte, x.logged-x.off)
	n, err := x.w.log.Read(c.ID, p, x.off)
	switch {
	case errors.Is(err, logserver.ErrUnreachable):
		x.asking = true
		x.w.clock.After(50*time.Millisecond, func() { x.asking = false; x.step() })
		return false
	case err != nil || n < len(p):
		x.w.fail("handler %d: log: %d of %d bytes, %v", x.a.n, n, len(p), err)
		return false
	}
	x.logBytes = p
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
	if x.scratch == nil {
		x.scratch = make([]byte, 8192)
	}
	n, err := x.s.Recv(x.scratch)
	x.buffer = append(x.buffer, x.scratch[:n]...)
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
