package disk

import (
	"slices"

	"github.com/ftnet/ftnet/logserver/disk/internal/format"
)

// recover reads what the log holds, and begins a new segment.
func (l *Log) recover() error {
	list, err := l.findSegments()
	if err != nil {
		return err
	}
	r := newReplay(l)
	for i, f := range list {
		l.numbers.learn(&f.header)
		if err := l.readSegment(r, f, i == len(list)-1); err != nil {
			return explain(f.path, err)
		}
	}
	if err := r.finish(); err != nil {
		return explain(l.dir, err)
	}
	l.numbers.begin(len(list) == 0)
	l.report(r, list)
	if len(list) > 0 {
		last := list[len(list)-1]
		l.writer.prev, l.newest = last.segment, last.id
	}
	err = l.claimNumbers()
	switch {
	case err == nil:
		return nil
	case lacksSpace(err):
		l.fail(err)
		return nil
	}
	return explain(l.dir, err)
}

// claimNumbers writes a segment's header, so that from now on the numbers that
// this start chooses are its own.
func (l *Log) claimNumbers() error {
	if l.writer.head == nil {
		if err := l.roll(); err != nil {
			return err
		}
	}
	_, err := l.writePart(nil)
	if err != nil {
		l.abandon()
	}
	return err
}

// readSegment reads a segment's records into r.
func (l *Log) readSegment(r *replay, f *found, last bool) error {
	defer func() { f.filled = f.end > f.size-f.size/8 }()
	recs, end, ok := l.loadIndexed(f.file, f.codec, f.id, f.size)
	if ok && (f.limit < 0 || end <= f.limit) {
		f.end = end
		return r.segment(f.segment, recs, nil)
	}
	recs, gaps, err := l.load(f.file, f.codec, f.size)
	if err != nil {
		return err
	}
	tail := last && f.limit < 0 && f.size == f.header.Size
	recs, gaps, begin := f.examine(recs, gaps, tail, &l.counters)
	if err := r.segment(f.segment, recs, gaps); err != nil {
		return err
	}
	if !tail {
		// The header that says so may be gone the next time.
		f.cut = f.limit >= 0 && f.end < f.size
		return nil
	}
	return f.confirm(begin)
}

// confirm makes stable what a log ended with. It may be in the kernel's memory
// only, if it was a process that died and not the power. And the kernel may take
// it for stable though it is not, after an error: hence it is written again, from
// the last batch on. What was not stable must not be mistaken for something
// later: it is cut off.
func (f *found) confirm(begin int64) error {
	for _, part := range [][2]int64{{0, format.Begin}, {begin, f.end}} {
		b := make([]byte, part[1]-part[0])
		if len(b) == 0 {
			continue
		}
		_, err := f.file.ReadAt(b, part[0])
		if err == nil {
			_, err = f.file.WriteAt(b, part[0])
		}
		if err != nil {
			return err
		}
	}
	if err := f.file.Truncate(f.end); err != nil {
		return err
	}
	f.size = f.end
	return f.file.Sync()
}

// examine finds out where the stable part of a segment ends, and returns the
// records and the gaps of that part, and where its last batch begins. tail tells that it was being written when
// the log ended: then its last batch may be torn, and nothing of that is lost,
// for nobody was told that it is stable. A batch is begun only when the one
// before is stable: damage before the last batch is a loss.
func (f *found) examine(recs []rec, gaps []gap, tail bool, count *counters) ([]rec, []gap, int64) {
	end, complete := f.size, !tail
	if f.limit >= 0 {
		end, complete = f.limit, true
	}
	if i := slices.IndexFunc(recs, func(r rec) bool { return r.h.Type == format.Index }); i >= 0 {
		end, complete = min(end, int64(recs[i].h.Pos)), true
	}
	upTo := func(end int64) {
		if i := slices.IndexFunc(recs, func(r rec) bool { return int64(r.h.Pos) >= end }); i >= 0 {
			recs = recs[:i]
		}
		if i := slices.IndexFunc(gaps, func(g gap) bool { return g.from >= end }); i >= 0 {
			gaps = gaps[:i]
		}
	}
	upTo(end)
	unused := f.header.Size // where what was never used ends
	if n := len(recs); n > 0 && recs[n-1].h.Type == format.Trailer {
		unused = int64(recs[n-1].h.Pos)
		recs = recs[:n-1]
	}
	if complete {
		if n := len(gaps); n > 0 && f.limit < 0 && gaps[n-1].to == unused {
			gaps = gaps[:n-1] // or an index that did not become stable
		}
		f.end = end
		return recs, gaps, end
	}
	if len(recs) == 0 {
		f.end = format.Begin
		return nil, nil, f.end
	}
	// The last batch, and where it begins: at its Batch record, or, if that is
	// damaged, at the gap where that was.
	last := recs[len(recs)-1].h
	begin := int64(last.Pos)
	for i := len(recs) - 1; i >= 0 && recs[i].h.Batch == last.Batch; i-- {
		begin = int64(recs[i].h.Pos)
		if recs[i].h.Type == format.Batch {
			break
		}
		for _, g := range gaps {
			if g.to == begin {
				begin = g.from
			}
		}
	}
	end = int64(last.Pos) + int64(f.codec.Size(int(last.N)))
	whole := end
	for _, g := range gaps {
		if g.from >= begin {
			end = min(end, g.from)
		}
	}
	for _, r := range recs {
		if !r.ok && int64(r.h.Pos) >= begin {
			end = min(end, int64(r.h.Pos))
		}
	}
	upTo(end)
	count.torn.Add(whole - end)
	f.end = end
	return recs, gaps, min(begin, end)
}

// report says what was found, and what was lost.
func (l *Log) report(r *replay, list []*found) {
	c := l.Counters()
	if c.LostRecords > 0 || c.LostBytes > 0 {
		l.cfg.Warn("the log is damaged: something that was stable is lost", "directory", l.dir,
			"damaged places", c.LostRecords, "connections", c.LostConns, "bytes of data", c.LostBytes)
	}
	if len(list) > 0 {
		l.cfg.Info("the log was read", "directory", l.dir, "files", len(list), "connections", l.table.Len(), "dropped bytes that were not stable", c.Torn)
	}
}

// install takes over what was read.
func (l *Log) install(conns []*conn) {
	for _, c := range conns {
		l.table.Add(c.id, c)
		raw := int64(connCost) + c.stable - c.start + int64(len(c.extents)+len(c.readExt))*recordCost + int64(len(c.info.Base(0).State))
		if c.reads != nil {
			raw += int64(len(c.reads.Runs)) * runCost
		}
		l.charge(c, raw)
		l.skip(c)
	}
}
