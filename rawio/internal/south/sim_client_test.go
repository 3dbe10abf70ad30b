package south_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"strconv"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
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

	blindFrom time.Duration // from then on the tap does not see what it sends; 0: it does
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

// parseRecord is the reverse of appendRecord.
func parseRecord(b []byte) (reads, total int, sum uint32, padding int, err error) {
	number := func(from, to, base int) int64 {
		n, e := strconv.ParseInt(string(bytes.TrimLeft(b[from:to], " ")), base, 64)
		err = errors.Join(err, e)
		return n
	}
	return int(number(0, 8, 10)), int(number(9, 17, 10)), uint32(number(18, 26, 16)), int(number(27, recordLen, 10)), err
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

	sent      int
	shut      bool
	in        []byte // not yet parsed
	buf       []byte // for what is received
	reads     int
	total     int
	skip      int
	sum       uint32
	summed    int
	bye       bool
	done      bool
	handler   *handler
	head      *head
	headSlot  uint32
	resting   bool
	exposed   bool // it went on without protection when its server had crashed already
	connected bool
	owed      bool // an engine has heard its SYN, and no answer was lost since
}

func (a *clientApp) mayReset() bool {
	return a.b.end == serverAborts || a.b.end == clientAborts || a.exposed || a.gaveUp()
}

// unanswered reports whether a client's dialling could come to nothing. Its SYNs of a
// long time without an engine nobody remembers, and the one or two that are left may
// be lost on their way, or their answers: there is no segment by which an engine could
// have the client repeat a SYN, and it knows nothing of one that it has not seen.
func (a *clientApp) unanswered() bool { return a.w.engines > 0 && !a.connected && !a.owed }

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
	err := a.sock.Err()
	if errors.Is(err, rawiotest.ErrTimeout) && a.unanswered() {
		a.exposed = true
	}
	if err != nil && !a.mayReset() {
		a.w.fail("client %d: %v after %d records, %d bytes sent", a.n, err, a.reads, a.sent)
	}
	if a.sock.State() == rawiotest.SynSent {
		return
	}
	a.connected = a.connected || err == nil
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
		a.receive() // the server may have closed before
	}
}

func (a *clientApp) receive() {
	if a.buf == nil {
		a.buf = make([]byte, 16<<10)
	}
	for !a.done {
		n, err := a.sock.Recv(a.buf)
		if n == 0 && err == nil {
			break
		}
		a.in = append(a.in, a.buf[:n]...)
		a.parse()
		switch {
		case errors.Is(err, rawiotest.ErrWouldBlock):
			return
		case errors.Is(err, io.EOF):
			// After a RST that was lost a SYN cookie's first segment may begin another connection.
			if (len(a.in) > 0 || a.skip > 0 || !a.bye) && !a.w.flows[a.flow].reset {
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
		reads, total, sum, padding, err := parseRecord(a.in[:recordLen])
		if err != nil {
			a.w.fail("client %d: record %q: %v", a.n, a.in[:recordLen], err)
			return
		}
		a.in = a.in[recordLen:]
		if total > a.sent || total < a.total || a.bye {
			a.w.fail("client %d: record of %d bytes after %d, %d are sent", a.n, total, a.total, a.sent)
			return
		}
		for a.summed < total {
			p := a.buf[:min(total-a.summed, len(a.buf))]
			for i := range p {
				p[i] = clientByte(a.n, a.summed+i)
			}
			a.sum = crc32.Update(a.sum, crc32.IEEETable, p)
			a.summed += len(p)
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
