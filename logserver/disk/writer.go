package disk

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver/disk/format"
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
	w.held = l.take(w.held, budget)
	w.held = l.takeCopies(w.held)
	if len(l.queue) > 0 || len(l.cleaning) > 0 {
		l.urgent = true
	}
	l.writing = len(w.held) > 0
	l.mu.Unlock()
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
func (i *item) helper() bool { return i.typ != format.Data || i.flags&format.Copy != 0 }

// helpersFirst puts those in front that may go into the reserve, and returns
// how many there are. A State in front of its data is no harm: what it says
// counts as far as there is data. What belongs to deleted connections is not
// wanted any more.
func (l *Log) helpersFirst() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.writer
	var helpers, others []item
	for _, i := range w.held {
		switch {
		case i.helper():
			helpers = append(helpers, i)
		case i.c.gone:
			i.c.inFlight--
			l.waiting -= int64(i.n)
			l.memory.release(i.pieces)
		default:
			others = append(others, i)
		}
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
	w.out.reset()
	pos := s.end
	if w.fresh {
		copy(w.out.grab(format.Begin), l.fillHeader().Append(nil))
		pos = 0
	}
	at := s.end
	put := func(h format.Header, payload []byte, pieces []piece) {
		h.N, h.Batch, h.Pos = uint32(payloadLen(payload, pieces)), w.batch+1, uint32(at)
		w.out.record(s.codec, h, payload, pieces)
		w.index.Add(h)
		at += int64(s.codec.Size(int(h.N)))
	}
	fits := func(n int) bool {
		// Behind the record there must be room for the index and the trailer.
		tail := s.codec.Size(len(w.index.Bytes())+2*format.MaxEntry) + format.HeaderSize
		return at+int64(s.codec.Size(n)+tail) <= s.size
	}
	if len(items) > 0 && !fits(s.codec.Size(0)+items[0].n) {
		return 0, nil
	}
	put(format.Header{Type: format.Batch, Offset: time.Now().UnixNano()}, nil, nil)
	n := 0
	for ; n < len(items) && fits(items[n].n); n++ {
		i := &items[n]
		i.at = uint32(at)
		if i.typ == format.Tomb && i.flags&format.Copy == 0 {
			i.off = tomb{i.conn, uint32(i.off), s.id}.span()
		}
		put(format.Header{Type: i.typ, Flags: i.flags, Conn: i.conn, Offset: i.off}, i.payload, i.pieces)
	}
	_, err := s.file.WriteVec(w.out.bufs, pos)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return 0, err
	}
	if w.fresh {
		l.mu.Lock()
		l.numbers.safe, l.newest = true, s.id
		l.mu.Unlock()
	}
	s.end, w.fresh = at, false
	w.batch++
	l.publish(s, items[:n])
	return n, nil
}

func payloadLen(payload []byte, pieces []piece) int {
	n := len(payload)
	for _, p := range pieces {
		n += int(p.to - p.from)
	}
	return n
}

var errNoSpace = errors.New("the log's files are full")
