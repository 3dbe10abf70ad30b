package storelog

import (
	"errors"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// victim returns the segment of the list that is to be cleaned next, or nil. A segment of
// which at most a quarter lives is worth it after a while: a byte is copied for
// three that become free. When the store has all the room that it can have the emptiest will do:
// as three quarters of the room may live, there is one of which a
// quarter is dead, more or less. One that is full must not be it: to copy that
// gains nothing. l.mu is held.
func (l *Log) victim() *segment {
	var best *segment
	var of store.Segment
	for _, e := range l.ended {
		if s := l.segment(e.ID); s.live > 0 && !s.bad && (best == nil || s.live < best.live) {
			best, of = s, e
		}
	}
	if best == nil {
		return nil
	}
	size := l.layout.Segment
	switch {
	case best.live <= size-l.layout.Overhead-size/8 && l.store.Full():
		return best
	case best.live <= of.Size/4 && (time.Since(of.Ended) > settled || l.cfg.Manual):
		return best
	}
	return nil
}

// cleanSegment copies what lives in one segment, and tells whether that made it
// free.
func (l *Log) cleanSegment() bool {
	l.mu.Lock()
	l.list()
	s := l.victim()
	if s == nil || l.copying > 0 {
		l.mu.Unlock()
		return false
	}
	s.pin()
	l.mu.Unlock()
	defer l.unpin(s)

	// About copyBudget bytes are in memory at a time, whatever the segment has.
	var items []item
	bytes := 0
	err := l.store.Scan(s.id, func(f *store.Found) error {
		if f.Damaged {
			return nil
		}
		l.mu.Lock()
		i, ok := l.live(s, f)
		l.mu.Unlock()
		if ok {
			i.payload = slices.Clone(i.payload)
			items = append(items, i)
			if bytes += i.n; bytes >= copyBudget {
				l.giveCopies(items)
				items, bytes = nil, 0
				if !l.awaitCopies() {
					return errClosing
				}
			}
		}
		return nil
	})
	if err == nil {
		l.giveCopies(items)
		if !l.awaitCopies() {
			err = errClosing
		}
	}
	switch {
	case errors.Is(err, errClosing):
		return false
	case err != nil:
		l.mu.Lock()
		s.bad = true
		l.mu.Unlock()
		l.cfg.Warn("a part of the log cannot be read, and is kept", "segment", l.store.Name(s.id), "error", err)
		return false
	}
	l.counters.cleaned.Add(1)
	return l.emptied(s)
}

// errClosing is why no more is copied.
var errClosing = errors.New("the log is being closed")

// emptied looks whether a segment that was cleaned is free now.
func (l *Log) emptied(s *segment) bool {
	for {
		if l.cfg.Manual {
			if l.step() != nil {
				return false
			}
		}
		l.mu.Lock()
		waiting := len(l.queue) > 0 || l.writing
		live := s.live
		if live > 0 && !waiting {
			s.bad = true
		}
		l.mu.Unlock()
		if live == 0 || !waiting {
			if live > 0 {
				l.cfg.Warn("a part of the log holds what cannot be read, and is kept", "segment", l.store.Name(s.id), "bytes", live)
			}
			return live == 0
		}
		if l.cleaner.stopped() {
			return false
		}
		if !l.cfg.Manual {
			time.Sleep(time.Millisecond)
		}
	}
}

// giveCopies is copies for those that were looked at without the lock: what has died
// since then is told so when the copy is stable.
func (l *Log) giveCopies(items []item) {
	if len(items) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range items {
		l.counters.copied.Add(int64(i.n))
	}
	l.copies(items)
}

// live returns the copy to be made of a record, if it lives. A State is not
// copied but written as it is now. l.mu is held.
func (l *Log) live(s *segment, f *store.Found) (item, bool) {
	c := l.table.Get(logserver.ConnID(f.Conn))
	if c == nil {
		return item{}, false
	}
	i := item{
		typ: f.Type, flags: store.Copy, c: c, conn: uint64(c.id), off: f.Offset,
		n: len(f.Payload), payload: f.Payload, seg: s.id, pos: f.At,
	}
	switch f.Type {
	case store.Data:
		k, ok := c.find(f.Offset)
		return i, ok && c.extents[k].seg == s.id && c.extents[k].pos == f.At
	case store.Reads:
		for _, e := range c.readExt {
			if e.seg == s.id && e.pos == f.At {
				return i, true
			}
		}
	case store.State:
		if c.stateSeg == s.id && c.statePos == f.At && !c.gone {
			l.queueState(c, false)
			l.hurry()
		}
	}
	return item{}, false
}

// awaitCopies waits until all copies are stable. It returns false if the log is
// being closed.
func (l *Log) awaitCopies() bool {
	if l.cfg.Manual {
		for {
			l.mu.Lock()
			n := l.copying
			l.mu.Unlock()
			if n == 0 {
				return true
			}
			if l.step() != nil {
				return false
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.copying > 0 && !l.stopping {
		l.cleaned.Wait()
	}
	return !l.stopping
}
