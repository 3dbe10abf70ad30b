package disk

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
)

// victim returns the segment that is to be cleaned next, or nil. A segment of
// which at most a quarter lives is worth it after a while: a byte is copied for
// three that become free. When neither the log nor the disk has room for more
// files the emptiest will do: as three quarters of the room may live, there is one of which a
// quarter is dead, more or less. One that is full must not be it: to copy that
// gains nothing. l.mu is held.
func (l *Log) victim() *segment {
	var best *segment
	for _, s := range l.segments {
		if s.sealed && s.live > 0 && !s.bad && !s.cut && (best == nil || s.live < best.live) {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	switch full := len(l.segments)+3 > l.limit() || l.space.noDisk.Load(); {
	case full && best.live <= l.cfg.Segment-overhead-l.cfg.Segment/8:
		return best
	case best.live <= best.size/4 && (time.Since(best.sealedAt) > settled || l.cfg.manual):
		return best
	}
	return nil
}

// cleanOne copies what lives in one segment, and tells whether that made it
// free.
func (l *Log) cleanOne() bool {
	l.mu.Lock()
	s := l.victim()
	if s == nil || l.copying > 0 {
		l.mu.Unlock()
		return false
	}
	s.pin()
	l.mu.Unlock()
	defer l.unpin(s)

	for in := newScanner(s.file, s.codec, min(s.end, s.size)); ; {
		more, err := l.copyLive(s, in)
		if err != nil {
			l.mu.Lock()
			s.bad = true
			l.mu.Unlock()
			l.cfg.Warn("a file cannot be read, and is kept", "file", s.path, "error", err)
			return false
		}
		if !l.awaitCopies() {
			return false
		}
		if !more {
			break
		}
	}
	l.counters.cleaned.Add(1)
	return l.emptied(s)
}

// emptied looks whether a segment that was cleaned is free now.
func (l *Log) emptied(s *segment) bool {
	for {
		if l.cfg.manual {
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
				l.cfg.Warn("a file holds what cannot be read, and is kept", "file", s.path, "bytes", live)
			}
			return live == 0
		}
		if l.tender.stopped() {
			return false
		}
		if !l.cfg.manual {
			time.Sleep(time.Millisecond)
		}
	}
}

// copyLive has about copyBudget bytes of live records written again, and tells
// whether there may be more. So much of them is in memory, whatever the segment has.
func (l *Log) copyLive(s *segment, in *scanner) (more bool, err error) {
	var items []item
	for bytes := 0; bytes < copyBudget; {
		r, err := in.next()
		if errors.Is(err, io.EOF) {
			l.giveCopies(items)
			return false, nil
		} else if err != nil {
			return false, err
		}
		if !r.ok {
			continue
		}
		l.mu.Lock()
		i, ok := l.live(s, &r)
		l.mu.Unlock()
		if ok {
			i.payload = slices.Clone(i.payload)
			items = append(items, i)
			bytes += i.n
		}
	}
	l.giveCopies(items)
	return true, nil
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
func (l *Log) live(s *segment, r *rec) (item, bool) {
	c := l.table.Get(logserver.ConnID(r.h.Conn))
	if c == nil {
		return item{}, false
	}
	i := item{
		typ: r.h.Type, flags: format.Copy, c: c, conn: uint64(c.id), off: r.h.Offset,
		n: len(r.payload), payload: r.payload, seg: s.id, pos: r.h.Pos,
	}
	switch r.h.Type {
	case format.Data:
		k, ok := c.find(r.h.Offset)
		return i, ok && c.extents[k].seg == s.id && c.extents[k].pos == r.h.Pos
	case format.Reads:
		for _, e := range c.readExt {
			if e.seg == s.id && e.pos == r.h.Pos {
				return i, true
			}
		}
	case format.State:
		if c.stateSeg == s.id && c.statePos == r.h.Pos && !c.gone {
			l.pendState(c, false)
			l.hurry()
		}
	}
	return item{}, false
}

// awaitCopies waits until all copies are stable. It returns false if the log is
// being closed.
func (l *Log) awaitCopies() bool {
	if l.cfg.manual {
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
