package disk

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/internal/priority"
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/disk/internal/vfs"
)

// writer is the goroutine that alone writes segments. Its fields are its own.
type writer struct {
	done   sync.WaitGroup
	head   *segment
	index  format.Indexer // of head
	batch  uint32         // the latest in head
	fresh  bool           // head's header is not written yet
	header format.SegmentHeader
	prev   *segment // the one before head
	// reserve tells that head is the last spare: only what may set space free
	// goes there.
	reserve bool
	held    []item // what is to be written next; emptied and filled under Log.mu
	body    *body  // of what is held; nil if there is none
	lead    []byte // memory for a segment's header
	bufs    [][]byte
	out     output
	retry   time.Duration // until the next try after a failure
}

const (
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second
	// copyBudget is how many bytes of copies go along with each batch.
	copyBudget = 1 << 20
)

// write is the writer's goroutine. Batches form by themselves: what comes while
// one is being written is the next.
func (l *Log) write() {
	// Between a write's steps the thread sleeps: on a busy host it would wait for its
	// turn after each. Without the privilege it does.
	_ = priority.Raise()
	for {
		l.mu.Lock()
		for !l.stopping && !l.urgent && len(l.writer.held) == 0 {
			l.wake.Wait()
		}
		stopping := l.stopping
		l.mu.Unlock()
		err := l.step()
		if stopping && (err != nil || !l.pending()) {
			l.mu.Lock()
			l.writerErr = err
			l.cleaned.Broadcast()
			l.mu.Unlock()
			return
		}
		if err != nil {
			l.pause(errors.Is(err, errWait))
		}
	}
}

// pause waits before what failed is tried again, or until the cleaner has done
// something if that is what it waits for.
func (l *Log) pause(forCleaner bool) {
	w := &l.writer
	w.retry = min(max(firstRetry, 2*w.retry), lastRetry)
	l.tender.rouse()
	l.mu.Lock()
	defer l.mu.Unlock()
	over := false
	timer := time.AfterFunc(w.retry, func() {
		l.mu.Lock()
		over = true
		l.wake.Broadcast()
		l.mu.Unlock()
	})
	defer timer.Stop()
	for !over && !l.stopping && !(l.chance && forCleaner) {
		l.wake.Wait()
	}
	l.chance = false
}

// step writes one batch. What it could not write is kept for the next step.
func (l *Log) step() error {
	w := &l.writer
	l.mu.Lock()
	budget := l.cfg.batch
	if len(w.held) > 0 {
		budget = 0 // data waits already
	}
	l.urgent = false
	var body []item
	if len(w.held) == 0 {
		if body = l.takeBody(); body != nil {
			budget = max(budget-int64(w.body.used), budget/4)
		}
	}
	w.held = l.take(w.held, budget)
	// Behind the States: no data is stable before its connection is.
	w.held = append(w.held, body...)
	w.held = l.takeCopies(w.held)
	if len(l.queue) > 0 || len(l.cleaning) > 0 || l.bodies.waiting() {
		l.urgent = true
	}
	l.writing = len(w.held) > 0
	l.mu.Unlock()
	l.leaveUnfilled()
	err := l.writeHeld()
	if safe := l.numbers.safe; err == nil && !safe { // only the writer changes it
		if err = l.claimNumbers(); err != nil {
			l.fail(err)
		} else {
			l.worked()
		}
	}
	l.mu.Lock()
	l.writing = len(w.held) > 0
	l.mu.Unlock()
	return err
}

// writeHeld writes what the writer holds.
func (l *Log) writeHeld() error {
	w := &l.writer
	for len(w.held) > 0 {
		n := len(w.held)
		if w.reserve {
			if err := l.leaveReserve(); err != nil {
				if n = l.helpersFirst(); n == 0 {
					l.fail(err)
					return err
				}
			}
		}
		if w.head != nil {
			done, err := l.writePart(w.held[:n])
			if err == nil && done > 0 {
				l.worked()
				w.held = slices.Delete(w.held, 0, done)
				l.leaveBody()
				continue
			}
			if err != nil {
				l.fail(err)
				l.abandon()
			}
		}
		if err := l.roll(); err != nil {
			l.fail(err)
			return err
		}
	}
	return nil
}

// helper tells whether an item may set space free: it goes into the reserve.
func (i *item) helper() bool {
	return i.place == 0 && (i.typ != format.Data || i.flags&format.Copy != 0)
}

// leaveBody gives the body back when nothing in it is held any more.
func (l *Log) leaveBody() {
	w := &l.writer
	if w.body == nil || slices.ContainsFunc(w.held, func(i item) bool { return i.inBody }) {
		return
	}
	l.mu.Lock()
	l.bodies.release(w.body)
	l.mu.Unlock()
	w.body = nil
}

// helpersFirst puts those in front that may go into the reserve, and returns
// how many there are. A State in front of its data is no harm: what it says
// counts as far as there is data. What belongs to deleted connections is not
// wanted any more.
func (l *Log) helpersFirst() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.writer
	var helpers, others []item
	// A body that lies as it is to be written is written whole, or not at all.
	wanted := slices.ContainsFunc(w.held, func(i item) bool { return i.inBody && !i.c.gone })
	for _, i := range w.held {
		switch {
		case i.helper():
			helpers = append(helpers, i)
		case i.c.gone && (i.place == 0 || !wanted):
			i.c.inFlight--
			l.waiting -= int64(i.n)
			l.memory.release(i.pieces)
		default:
			others = append(others, i)
		}
	}
	if w.body != nil && !wanted {
		l.bodies.release(w.body)
		w.body = nil
	}
	w.held = append(helpers, others...)
	return len(helpers)
}

// takeCopies moves some of the cleaner's copies to list. l.mu is held.
func (l *Log) takeCopies(list []item) []item {
	n := 0
	for budget := copyBudget; n < len(l.cleaning) && budget > 0; n++ {
		budget -= l.cleaning[n].n
	}
	list = append(list, l.cleaning[:n]...)
	l.cleaning = slices.Delete(l.cleaning, 0, n)
	return list
}

// writePart writes as many items as fit into head, makes them stable and
// publishes that. It returns how many they are.
func (l *Log) writePart(items []item) (int, error) {
	w, s := &l.writer, l.writer.head
	n, length := w.fitting(items)
	if n == 0 && len(items) > 0 {
		return 0, nil
	}
	body := w.body
	if !slices.ContainsFunc(items[:n], func(i item) bool { return i.place > 0 }) {
		body = nil
	}
	h := format.Header{Type: format.Batch, Batch: w.batch + 1, Pos: uint32(s.end), Conn: uint64(length), Offset: time.Now().UnixNano()}
	w.index.Add(h)
	pos, at := s.end, s.end
	w.bufs = w.bufs[:0]
	if w.fresh {
		pos = 0
		w.bufs = append(w.bufs, w.leading(l.fillHeader()))
	}
	w.out.reset(length + format.BatchAlign)
	if body == nil {
		s.codec.Put(w.out.grab(s.codec.Size(0)), h)
		at += int64(s.codec.Size(0))
	} else {
		s.codec.PutSummed(body.mem, h, 0)
		l.fillIn(body, items[:n])
		// The body's last block goes on with what follows.
		whole := body.used &^ (format.BatchAlign - 1)
		w.bufs = append(w.bufs, body.mem[:whole])
		copy(w.out.grab(body.used-whole), body.mem[whole:])
		at += int64(body.used)
	}
	for k := range items[:n] {
		i := &items[k]
		if i.place > 0 {
			continue
		}
		i.at = uint32(at)
		if i.typ == format.Tomb && i.flags&format.Copy == 0 {
			i.off = tomb{i.conn, uint32(i.off), s.id}.span()
		}
		h := format.Header{
			Type: i.typ, Flags: i.flags, N: uint32(i.n), Batch: w.batch + 1, Pos: i.at, Conn: i.conn, Offset: i.off,
		}
		w.out.record(s.codec, h, i.payload, i.pieces)
		w.index.Add(h)
		at += int64(s.codec.Size(i.n))
	}
	if end := w.out.pad(); len(end) > 0 {
		w.bufs = append(w.bufs, end)
	}
	if err := s.file.WriteStable(w.bufs, pos); err != nil {
		return 0, err
	}
	if w.fresh {
		l.mu.Lock()
		l.numbers.safe, l.newest = true, s.id
		l.mu.Unlock()
	}
	s.end, w.fresh = blockEnd(at), false
	w.batch++
	l.publish(s, items[:n])
	return n, nil
}

// unplace makes records of a body ones like others.
func (w *writer) unplace(items []item) {
	for k := range items {
		if i := &items[k]; i.place > 0 {
			i.payload = w.body.mem[i.place+format.HeaderSize:][:i.n]
			i.place = 0
		}
	}
}

// leading returns a segment's header in memory that can be written.
func (w *writer) leading(h *format.SegmentHeader) []byte {
	if w.lead == nil {
		w.lead = vfs.AlignedBytes(format.Begin)
	}
	copy(w.lead, h.Append(nil))
	return w.lead
}

// fillIn completes the records in a body. Those of connections that are deleted
// are void: nobody looks for them where they will be.
func (l *Log) fillIn(b *body, items []item) {
	w, s := &l.writer, l.writer.head
	l.mu.Lock()
	for k := range items {
		if i := &items[k]; i.place > 0 && i.c.gone {
			i.typ = format.Void
		}
	}
	l.mu.Unlock()
	for k := range items {
		i := &items[k]
		if i.place == 0 {
			continue
		}
		i.at = uint32(s.end) + uint32(i.place)
		h := format.Header{Type: i.typ, N: uint32(i.n), Batch: w.batch + 1, Pos: i.at, Conn: i.conn, Offset: i.off}
		s.codec.PutSummed(b.mem[i.place:], h, i.sum)
		w.index.Add(h)
	}
}

// fitting returns how many items fit into head as one batch, and how long its
// records are. Behind them there must be room for the index and the trailer.
// What does not fit as it lies in a body will be copied.
func (w *writer) fitting(items []item) (n, length int) {
	s := w.head
	index := len(w.index.Bytes()) + 2*format.MaxEntry
	length = s.codec.Size(0)
	for n = range items {
		more := length + s.codec.Size(items[n].n)
		index += format.MaxEntry
		if blockEnd(s.end+int64(more))+int64(s.codec.Size(index)+format.HeaderSize) > s.size {
			if items[n].place > 0 {
				w.unplace(items)
			}
			return n, length
		}
		length = more
	}
	return len(items), length
}

var errNoSpace = errors.New("the log's files are full")
