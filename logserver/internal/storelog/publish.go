package storelog

import (
	"slices"
	"sort"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// publish takes into the index what is stable now in a segment, and tells it.
func (l *Log) publish(segment uint32, items []item) {
	l.mu.Lock()
	s := l.written(segment)
	var changed []*conn
	for n := range items {
		i := &items[n]
		size := int64(l.store.Size(i.n))
		if i.flags&store.Copy != 0 {
			l.copying--
		} else {
			i.c.inFlight--
		}
		switch i.typ {
		case store.Data:
			l.publishData(s, i, size)
		case store.Void:
			l.waiting -= int64(i.n)
		case store.Reads:
			l.publishReads(s, i, size)
		case store.State:
			l.publishState(s, i, size)
		case store.Deletion:
			l.numbers.settle(logserver.ConnID(i.conn))
			if i.c != nil {
				l.forget(i.c)
			}
			s.deletions = append(s.deletions, newDeletion(i.conn, i.off, s.id))
			if i.moved != nil {
				i.moved.moving = false
				l.cleaner.wakeUp()
			}
		}
		if c := i.c; c != nil && i.flags&store.Copy == 0 {
			if c.begun == 0 && i.typ != store.Deletion {
				c.begun = s.id
			}
			if !c.gone && c.news&^toldFin != 0 && c.news&newsListed == 0 {
				c.news |= newsListed
				changed = append(changed, c)
			}
		}
		*i = item{}
	}
	l.lastWrite = time.Now()
	news := make([]logserver.Upcall, 0, len(changed))
	for _, c := range changed {
		u := logserver.Upcall{ID: c.id, Tag: c.info.Tag, Stable: c.stable, Meta: c.news&newsMeta != 0}
		if c.finStable && c.stable == c.fin && c.news&toldFin == 0 {
			u.Fin = true
			c.news |= toldFin
		}
		if c.news&newsData != 0 || u.Meta || u.Fin {
			news = append(news, u)
		}
		c.news &= toldFin
	}
	if l.copying == 0 {
		l.cleaned.Broadcast()
	}
	l.mu.Unlock()
	l.counters.batches.Add(1)
	l.up.Tell(news)
}

func (l *Log) publishData(s *segment, i *item, size int64) {
	c := i.c
	if i.flags&store.Copy != 0 {
		k := sort.Search(len(c.extents), func(k int) bool { return c.extents[k].off >= i.off })
		if k < len(c.extents) && c.extents[k].seg == i.seg && c.extents[k].pos == i.pos {
			l.unlive(i.seg, i.n)
			c.extents[k].seg, c.extents[k].pos = s.id, i.at
			s.live += size
		}
		return
	}
	c.extents = append(c.extents, extent{i.off, s.id, i.at, uint32(i.n)})
	s.live += size
	c.stable = i.off + int64(i.n)
	c.news |= newsData
	if c.finStable {
		c.news |= newsFin
	}
	l.waiting -= int64(i.n)
	l.memory.release(i.pieces)
}

func (l *Log) publishReads(s *segment, i *item, size int64) {
	c := i.c
	if i.flags&store.Copy != 0 {
		for k := range c.readExt {
			if e := &c.readExt[k]; e.seg == i.seg && e.pos == i.pos {
				l.unlive(i.seg, i.n)
				e.seg, e.pos = s.id, i.at
				s.live += size
				return
			}
		}
		return
	}
	c.readExt = append(c.readExt, readExtent{i.off, i.to, s.id, i.at, uint32(i.n)})
	s.live += size
}

func (l *Log) publishState(s *segment, i *item, size int64) {
	c := i.c
	if c.stateSeg != 0 {
		l.unlive(c.stateSeg, int(c.stateSize))
	}
	c.stateSeg, c.statePos, c.stateSize = s.id, i.at, uint32(i.n)
	s.live += size
	if i.meta {
		c.news |= newsMeta
	}
	if c.finStable = i.fin >= 0; c.finStable {
		c.news |= newsFin
	}
	c.stateStart = i.start
	l.numbers.settle(c.id)
	l.trim(c)
}

// trim gives up the records below the start that is stable.
func (l *Log) trim(c *conn) {
	n := 0
	for n < len(c.extents) && c.extents[n].end() <= c.stateStart {
		l.unlive(c.extents[n].seg, int(c.extents[n].n))
		n++
	}
	if n > 0 {
		l.charge(c, -int64(max(0, n-c.skip))*recordCost)
		c.skip = max(0, c.skip-n)
		c.extents = shorten(c.extents, n)
	}
	n = 0
	for n < len(c.readExt) && c.readExt[n].to <= c.stateStart {
		l.unlive(c.readExt[n].seg, int(c.readExt[n].n))
		l.charge(c, -recordCost)
		n++
	}
	if n > 0 {
		c.readExt = shorten(c.readExt, n)
	}
}

// shorten drops the first n, and their memory now and then.
func shorten[E any](list []E, n int) []E {
	if n == len(list) {
		return nil
	}
	if list = list[n:]; n > len(list) {
		return slices.Clone(list)
	}
	return list
}

// forget gives up all records of a connection whose deletion is stable.
func (l *Log) forget(c *conn) {
	for _, e := range c.extents {
		l.unlive(e.seg, int(e.n))
	}
	for _, e := range c.readExt {
		l.unlive(e.seg, int(e.n))
	}
	if c.stateSeg != 0 {
		l.unlive(c.stateSeg, int(c.stateSize))
	}
	c.extents, c.readExt, c.stateSeg, c.skip = nil, nil, 0, 0
}

// unlive takes note that a record with n bytes of payload is dead.
func (l *Log) unlive(seg uint32, n int) {
	s := l.segments[seg]
	if s == nil {
		return
	}
	if s.live -= int64(l.store.Size(n)); s.live == 0 && s.id != l.newest {
		l.cleaner.wakeUp()
	}
}
