package ftnet

import (
	"encoding/binary"
	"math"
	"slices"
	"sync/atomic"

	"github.com/ftnet/ftnet/internal/journal"
)

// replayer is what the execution before did with a connection, for the handler that has to
// repeat it: how it read, and what it wrote. It does no I/O and never blocks: [Conn] fetches
// and sends what it says.
//
// It has two halves that may be used side by side: Reading, NextRead and DidRead by one reader at
// a time, Writing, Write, Due and Sent by one writer at a time. Reading, Writing and Output may
// also be called by anyone at any time. A half ends once, when Reading, or Writing, returns
// false, which it does for ever after: the handler is live there, and the half's other methods are
// not called any more. None but Reading, Writing and Output is called after the
// connection's record was released.
type replayer interface {
	// Reading reports whether there is input that is to be read again.
	Reading() bool
	// NextRead says of what the handler's next read with room for most bytes, 1 or more,
	// consists. It is the same until DidRead.
	NextRead(most int) portion
	// DidRead says that the handler gets the first n bytes, 1 or more, of the portion; 0 that
	// its time-out is done with, whether or not the handler got it.
	DidRead(n int)

	// Writing reports whether there is output that is to be repeated, or that is Due.
	Writing() bool
	// Output returns how much output has been repeated, and how much there was: offsets in
	// the stream.
	Output() (pos, end int64)
	// Write compares the next output with that of the execution before. It takes less than
	// all of p only where that ends, and what follows is new, or with timeout: the write that
	// had come so far, and no further, had timed out. It says so once, and goes on when it is
	// called again. After a mismatch the connection is to be reset.
	Write(p []byte) (n int, timeout bool, m *MismatchError)
	// Due returns output that is known to be right and that the client may lack, to be
	// sent at once. It is valid until Sent or Write.
	Due() []byte
	// Sent says that the first n bytes of Due were sent.
	Sent(n int)
}

// portion is of what one read consists: first bytes from the log, from offset at on, then bytes from
// the live connection. The execution before had read the latter, so the client has sent them, and
// sends them again if they were not acknowledged: they can be waited for. Or it is a time-out, of
// no bytes.
type portion struct {
	at           int64
	logged, live int
	timeout      bool
}

// recordReplayer replays what lies in the journal.
type recordReplayer struct {
	rec *journal.Record

	// The reader's.
	reads        *journal.Reads // lengths of reads, as far as they were recorded
	readTimeouts timeouts
	logged       int64
	read         int64
	reading      atomic.Bool

	// The writer's. What the client has acknowledged is dropped. Above that nothing is due
	// before it is known to be what was written before: the client may have it although it
	// has not said so.
	output        *journal.Verifier
	writeTimeouts timeouts // below end
	acked         int64
	held          []byte       // output from max(acked, what was sent) on
	written       atomic.Int64 // = output.Pos, which only the writer may ask for
	end           int64
	writing       atomic.Bool
}

var _ replayer = (*recordReplayer)(nil)

// newRecordReplayer returns the replayer of a recovered connection's record. From
// here on nobody else records reads before Reading is false, nor output before Writing is.
func newRecordReplayer(rec *journal.Record, from start) *recordReplayer {
	r := &recordReplayer{rec: rec, reads: rec.Reads(from.in), logged: from.logged, read: from.in, output: rec.Verifier(from.out), acked: from.acked}
	r.end = r.output.End()
	r.loadTimeouts(from)
	r.written.Store(r.output.Pos())
	r.reading.Store(true)
	r.writing.Store(true)
	r.settleInput()
	r.settleOutput()
	return r
}

func (r *recordReplayer) Reading() bool { return r.reading.Load() }

// loadTimeouts reads where the handler's time-outs are to come.
func (r *recordReplayer) loadTimeouts(from start) {
	for _, in := range r.rec.Inputs() {
		switch in.Kind {
		case journal.ReadTimeout:
			r.readTimeouts.add(in.In, in.Count)
		case journal.WriteTimeout:
			r.writeTimeouts.add(in.Out, in.Count)
		case journal.WritesForgotten:
			if len(in.Bytes) == 8 {
				r.writeTimeouts.cut(int64(binary.BigEndian.Uint64(in.Bytes)))
			}
		}
	}
	// What was written from the record's end on counts no more. Nor do the time-outs there: this
	// execution may do something else, and the next one is to repeat this one.
	if r.writeTimeouts.cut(r.end) {
		if r.rec.RecordInput(journal.WritesForgotten, binary.BigEndian.AppendUint64(nil, uint64(r.end))) != nil {
			r.rec.Overflow()
		}
	}
	r.readTimeouts.begin(from.in)
	r.writeTimeouts.begin(from.out)
}

func (r *recordReplayer) NextRead(most int) portion {
	until := r.readTimeouts.next() - r.read
	n := r.reads.Left()
	if until <= 0 || n == 0 && r.read >= r.logged {
		return portion{at: r.read, timeout: true}
	}
	if n == 0 { // the process ended before it read what the log has
		n = int(min(r.logged-r.read, journal.MaxRead))
	}
	// A smaller buffer than the first time leaves the rest of the read for the next one.
	n = int(min(int64(n), int64(most), until))
	logged := int(min(int64(n), max(0, r.logged-r.read)))
	return portion{at: r.read, logged: logged, live: n - logged}
}

func (r *recordReplayer) DidRead(n int) {
	r.read += int64(n)
	switch {
	case n == 0:
		r.readTimeouts.done()
	case r.reads.Left() > 0:
		r.reads.Consume(n)
	default:
		r.rec.RecordRead(n)
	}
	r.settleInput()
}

// settleInput ends the reader's half if there is no more.
func (r *recordReplayer) settleInput() {
	if r.read >= r.logged && r.reads.Left() == 0 && len(r.readTimeouts) == 0 {
		r.reads = nil
		r.reading.Store(false)
	}
}

func (r *recordReplayer) Writing() bool { return r.writing.Load() }

func (r *recordReplayer) Output() (pos, end int64) { return r.written.Load(), r.end }

func (r *recordReplayer) Write(p []byte) (n int, timeout bool, m *MismatchError) {
	from := r.output.Pos()
	if until := r.writeTimeouts.next() - from; until < int64(len(p)) {
		p, timeout = p[:max(0, until)], true
		r.writeTimeouts.done()
	}
	p = p[:min(int64(len(p)), r.end-from)]
	if m := r.output.Write(p); m != nil {
		return 0, false, &MismatchError{Offset: m.Offset, End: m.End}
	}
	r.written.Store(r.output.Pos())
	if skip := max(0, r.acked-from); skip < int64(len(p)) {
		r.held = append(r.held, p[skip:]...)
	}
	r.settleOutput()
	return len(p), timeout, nil
}

func (r *recordReplayer) Due() []byte {
	if r.output == nil {
		return nil
	}
	unverified := int(r.output.Pos() - r.output.Verified())
	return r.held[:max(0, len(r.held)-unverified)]
}

func (r *recordReplayer) Sent(n int) {
	r.held = r.held[:copy(r.held, r.held[n:])]
	r.settleOutput()
}

// settleOutput ends the writer's half if all was repeated and sent.
func (r *recordReplayer) settleOutput() {
	if r.output.Pos() == r.end && len(r.held) == 0 {
		r.output, r.held = nil, nil
		r.writing.Store(false)
	}
}

// timeouts are places of time-outs, each with how many there were, in order.
type timeouts []timeoutPlace

type timeoutPlace struct {
	at    int64
	count int
}

// add adds time-outs after those at the same place. One that a replay brought lies before the
// others that were recorded earlier.
func (t *timeouts) add(at int64, count int) {
	i := len(*t)
	for i > 0 && (*t)[i-1].at > at {
		i--
	}
	*t = slices.Insert(*t, i, timeoutPlace{at, count})
}

// cut removes those at the place at and above. It returns false if there are none.
func (t *timeouts) cut(at int64) bool {
	n := len(*t)
	*t = slices.DeleteFunc(*t, func(p timeoutPlace) bool { return p.at >= at })
	return len(*t) < n
}

// begin removes those below the place at.
func (t *timeouts) begin(at int64) {
	*t = slices.DeleteFunc(*t, func(p timeoutPlace) bool { return p.at < at })
}

// next returns the place of the next one, or one that is never reached.
func (t timeouts) next() int64 {
	if len(t) == 0 {
		return math.MaxInt64
	}
	return t[0].at
}

// done removes the next one.
func (t *timeouts) done() {
	if (*t)[0].count--; (*t)[0].count == 0 {
		*t = (*t)[1:]
	}
}
