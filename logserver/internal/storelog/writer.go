package storelog

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/internal/priority"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// writer is the goroutine that alone appends to the store. Its fields are its own.
type writer struct {
	done     sync.WaitGroup
	held     []item // what is to be written next; emptied and filled under Log.mu
	body     *body  // of what is held; nil if there is none
	batch    store.Batch
	payloads [][]byte      // memory for those of batch
	retry    time.Duration // until the next try after a failure
	failing  bool          // nothing was written since a failure, but in the reserve
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
			l.pause(errors.Is(err, store.ErrWait))
		}
	}
}

// pause waits before what failed is tried again, or until the cleaner has done
// something if that is what it waits for.
func (l *Log) pause(forCleaner bool) {
	w := &l.writer
	w.retry = min(max(firstRetry, 2*w.retry), lastRetry)
	l.cleaner.wakeUp()
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
	budget := l.cfg.Batch
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
		err := l.appendHeld(len(w.held), false)
		if errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrAgain) {
			if n := l.helpersFirst(); n > 0 {
				err = l.appendHeld(n, true)
			}
		}
		if err == nil {
			continue
		}
		l.fail(err)
		if !errors.Is(err, store.ErrAgain) {
			return err
		}
		l.cleaner.wakeUp()
	}
	return nil
}

// appendHeld appends at most the first n items that are held, and publishes that. reserve tells
// that all of them are helpers.
func (l *Log) appendHeld(n int, reserve bool) error {
	w := &l.writer
	b := l.compose(w.held[:n])
	b.Reserve = reserve
	done, err := l.store.Append(b)
	for k := range b.Records[:done] {
		w.held[k].at = b.Records[k].At
	}
	clear(b.Records)
	clear(w.payloads)
	if err != nil {
		return err
	}
	w.retry = 0
	if !reserve {
		l.worked()
	}
	if slices.ContainsFunc(w.held[:done], func(i item) bool { return i.place > 0 }) {
		l.unplace(w.held[done:]) // a Frame is written whole
	}
	l.publish(b.Segment, w.held[:done])
	w.held = slices.Delete(w.held, 0, done)
	l.leaveBody()
	return nil
}

// compose makes a batch of items. Data in a body is void if its connection is deleted: nobody
// looks for it where it will be.
func (l *Log) compose(items []item) *store.Batch {
	w := &l.writer
	b := &w.batch
	*b = store.Batch{Records: b.Records[:0], Time: time.Now().UnixNano()}
	w.payloads = w.payloads[:0]
	l.mu.Lock()
	for k := range items {
		if i := &items[k]; i.place > 0 {
			b.Frame = w.body.mem[:w.body.used]
			if i.c.gone {
				i.typ = store.Void
			}
		}
	}
	l.mu.Unlock()
	for k := range items {
		i := &items[k]
		r := store.Record{Frame: i.place, Sum: i.sum}
		from := len(w.payloads)
		switch {
		case i.place > 0:
		case i.payload != nil:
			w.payloads = append(w.payloads, i.payload)
		default:
			for _, p := range i.pieces {
				w.payloads = append(w.payloads, p.bytes())
			}
		}
		r.Header = store.Header{Type: i.typ, Flags: i.flags, N: uint32(i.n), Conn: i.conn, Offset: i.off}
		r.Payload = w.payloads[from:]
		b.Records = append(b.Records, r)
	}
	return b
}

// unplace makes records of a body ones like others.
func (l *Log) unplace(items []item) {
	for k := range items {
		if i := &items[k]; i.place > 0 {
			i.payload = l.writer.body.mem[i.place+l.layout.Head:][:i.n]
			i.place = 0
		}
	}
}

// helper tells whether an item may set space free: it goes into the reserve.
func (i *item) helper() bool {
	return i.place == 0 && (i.typ != store.Data || i.flags&store.Copy != 0)
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
