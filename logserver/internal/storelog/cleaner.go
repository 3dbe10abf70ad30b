package storelog

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/store"
)

// cleaner is the goroutine that sets space free: it frees segments that hold nothing live any
// more, and has what lives in mostly dead ones copied.
type cleaner struct {
	done sync.WaitGroup
	wake chan struct{}
	ctx  context.Context // until Close
	stop context.CancelFunc
}

const (
	every = time.Second
	// settled is how long a segment is left alone before it is cleaned because
	// little of it lives: it may soon be dead by itself.
	settled = 5 * time.Second
)

func (t *cleaner) init() {
	t.wake = make(chan struct{}, 1)
	t.ctx, t.stop = context.WithCancel(context.Background())
}

func (t *cleaner) wakeUp() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *cleaner) stopped() bool { return t.ctx.Err() != nil }

// clean is the cleaner's goroutine.
func (l *Log) clean() {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-l.cleaner.ctx.Done():
			return
		case <-l.cleaner.wake:
		case <-tick.C:
		}
		l.round()
	}
}

// round is what the cleaner does each time.
func (l *Log) round() {
	l.mu.Lock()
	if !l.numbers.safe {
		l.hurry()
	}
	if time.Since(l.lastWrite) > every {
		l.bodies.wipe()
	}
	l.mu.Unlock()
	l.store.Settle()
	l.free()
	for !l.cleaner.stopped() && l.cleanSegment() {
		l.free()
	}
}

// free frees what it can, and has the store prepare room.
func (l *Log) free() {
	for l.freeDead() && !l.cleaner.stopped() {
	}
	more, _ := l.store.Prepare(l.cleaner.ctx) // what fails is tried again
	l.space.check()
	if more {
		l.mu.Lock()
		l.chance = true
		l.wake.Signal()
		l.mu.Unlock()
	}
}

// freeDead frees the oldest segment that holds nothing live, and tells
// whether there may be more.
func (l *Log) freeDead() bool {
	l.mu.Lock()
	l.list()
	s := l.dead()
	if s == nil {
		l.mu.Unlock()
		return false
	}
	if l.moveDeletions(s) {
		l.mu.Unlock()
		return false // once they are stable elsewhere
	}
	l.mu.Unlock()

	err := l.store.Free(s.id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		return false
	}
	delete(l.segments, s.id)
	l.chance = true
	l.wake.Signal()
	return true
}

// list asks the store which segments have ended. l.mu is held.
func (l *Log) list() { l.ended = l.store.Segments(l.ended[:0]) }

// dead returns the oldest segment of the list that can go. The last that something is stable
// in says which numbers were used. l.mu is held.
func (l *Log) dead() *segment {
	for i := range l.ended {
		if s := l.segment(l.ended[i].ID); l.ended[i].MayFree && s.id != l.newest && s.live == 0 && s.pins == 0 && !s.moving {
			return s
		}
	}
	return nil
}

// moveDeletions has those of a dead segment's deletions written again that are still
// needed, and tells whether there are any. l.mu is held.
func (l *Log) moveDeletions(s *segment) bool {
	var others []uint32
	for id := range l.segments {
		if id != s.id {
			others = append(others, id)
		}
	}
	slices.Sort(others)
	var needed []item
	for _, t := range s.deletions {
		k, _ := slices.BinarySearch(others, t.begun)
		if k < len(others) && others[k] <= t.last {
			needed = append(needed, item{typ: store.Deletion, flags: store.Copy, conn: t.conn, off: t.span()})
		}
	}
	s.deletions = nil
	if len(needed) == 0 {
		return false
	}
	s.moving = true
	needed[len(needed)-1].moved = s
	l.copies(needed)
	return true
}

// copies gives items to the writer. l.mu is held.
func (l *Log) copies(items []item) {
	l.cleaning = append(l.cleaning, items...)
	l.copying += len(items)
	l.chance = true
	l.hurry()
}
