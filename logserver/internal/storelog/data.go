package storelog

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// Write implements logserver.Log.
func (l *Log) Write(id logserver.ConnID, off int64, p []byte) (int, error) {
	return l.append(id, off, p, nil)
}

// append is Write for what may lie at the beginning of a loan.
func (l *Log) append(id logserver.ConnID, off int64, p []byte, in *loan) (int, error) {
	defer l.space.check()
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return 0, err
	}
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return 0, fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
	}
	if off > c.taken {
		return 0, logserver.ErrGap
	}
	skip := c.taken - off
	if skip >= int64(len(p)) {
		return len(p), nil
	}
	if c.fin >= 0 {
		return int(skip), logserver.ErrFinished
	}
	p = p[skip:]
	room, why := l.room(c)
	var full error
	if int64(len(p)) > room {
		p, full = p[:room], why
	}
	if len(p) > 0 {
		if in != nil && !in.begins(c) {
			in = nil
		}
		if l.places(c, p, in) {
			l.place(c, p, in)
		} else {
			l.queueData(c, p)
		}
		c.info.Touch()
		l.hurry()
	}
	return int(skip) + len(p), full
}

// room returns how many bytes may be appended, and what keeps more from it.
// l.mu is held.
func (l *Log) room(c *conn) (int64, error) {
	// Each record costs something, too.
	var had int64
	if c.queued != nil {
		had = c.queued.n
	}
	total, record := l.space.room(), int64(l.maxRecord())
	free := (record - had%record) % record // in the last record
	if total > free {
		rest := total - free
		whole := rest / (record + recordCost)
		free += whole*record + max(0, rest-whole*(record+recordCost)-recordCost)
	} else {
		free = total
	}
	if left := l.cfg.Buffer - l.waiting; left < free {
		return max(0, left), &logserver.QuotaError{Scope: logserver.ScopeBuffer, Limit: l.cfg.Buffer}
	}
	return max(0, free), l.space.full()
}

// Room implements logserver.Log.
func (l *Log) Room(id logserver.ConnID) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil || c.fin >= 0 {
		return 0, err
	}
	room, _ := l.room(c)
	return room, nil
}

// Length implements logserver.Log.
func (l *Log) Length(id logserver.ConnID) (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return 0, 0, err
	}
	return c.start, c.stable, nil
}

// WriteReads implements logserver.Log. Runs are charged to the total quota.
func (l *Log) WriteReads(id logserver.ConnID, lengths ...uint32) error {
	if slices.Contains(lengths, 0) {
		return fmt.Errorf("%w: a read of length 0", logserver.ErrInvalid)
	}
	err := l.writeReads(id, lengths)
	l.space.check()
	return err
}

func (l *Log) writeReads(id logserver.ConnID, lengths []uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil || len(lengths) == 0 {
		return err
	}
	if c.reads == nil {
		c.reads = new(table.Reads)
	}
	c.info.Touch()
	defer l.soon()
	for _, length := range lengths {
		switch {
		case l.space.room() < runCost+recordCost:
			return l.space.full()
		case c.reads.To > math.MaxInt64/2:
			return fmt.Errorf("%w: reads beyond offset %d", logserver.ErrInvalid, c.reads.To)
		}
		run := logserver.ReadRun{Length: length, Count: 1}
		l.queueRead(c, run)
		if c.reads.Add(run) {
			l.charge(c, runCost)
		}
		if c.reads.From < c.start {
			before := len(c.reads.Runs)
			c.reads.Trim(c.start)
			l.charge(c, int64(len(c.reads.Runs)-before)*runCost)
		}
	}
	return nil
}

// Reads implements logserver.Log.
func (l *Log) Reads(id logserver.ConnID) ([]logserver.ReadRun, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil || c.reads == nil {
		return nil, err
	}
	return slices.Clone(c.reads.Runs), nil
}

// skip marks the extents below the start, which are dead once the new start is
// stable, and no longer charged for. l.mu is held.
func (l *Log) skip(c *conn) {
	more := sort.Search(len(c.extents)-c.skip, func(i int) bool { return c.extents[c.skip+i].end() > c.start })
	c.skip += more
	l.charge(c, -int64(more)*recordCost)
}
