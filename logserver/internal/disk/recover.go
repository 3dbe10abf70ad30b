package disk

import (
	"slices"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// Load implements store.Store.
func (f *files) Load(o store.Owner, v store.Visitor) (store.Loaded, error) {
	f.owner = o
	var loaded store.Loaded
	list, err := f.findSegments()
	if err != nil {
		return loaded, err
	}
	for i, s := range list {
		v.Segment(s.id, s.header.Head)
		recs, torn, err := f.readSegment(s, i == len(list)-1)
		if err != nil {
			return loaded, explain(s.path, err)
		}
		loaded.Torn += torn
		t := teller{seg: s.id}
		for k := range recs {
			_ = t.tell(&recs[k], func(found *store.Found) error { v.Record(found); return nil })
		}
		f.writer.prev = s.segment
	}
	loaded.Segments, loaded.Lost = len(list), f.lost
	if len(list) > 0 {
		loaded.Newest = list[len(list)-1].id
	}
	return loaded, nil
}

// readSegment returns a segment's records, and how many bytes of it were dropped that were
// not stable.
func (f *files) readSegment(s *found, last bool) (recs []rec, torn int64, err error) {
	defer func() { s.filled = s.end > s.size-s.size/8 }()
	recs, end, ok := loadIndexed(s.file, s.codec, s.id, s.size)
	if ok && (s.limit < 0 || end <= s.limit) {
		s.end = end
		return recs, 0, nil
	}
	// From front to back: of data it is kept where that is, not the bytes.
	recs, gaps, err := newScanner(s.file, s.codec, s.size).all(isOther)
	if err != nil {
		return nil, 0, err
	}
	tail := last && s.limit < 0 && s.size == s.header.Size
	recs, gaps, begin, torn := s.examine(recs, gaps, tail)
	for _, g := range gaps {
		f.lost++
		f.cfg.Warn("a place in the log is damaged", "file", s.path, "position", g.from, "bytes", g.to-g.from)
	}
	if !tail {
		// The header that says so may be gone the next time.
		s.cut = s.limit >= 0 && s.end < s.size
		return recs, torn, nil
	}
	return recs, torn, s.confirm(begin)
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
// records and the gaps of that part, where its last batch begins, and how much was dropped. tail
// tells that it was being written when the log ended: then its last batch may be torn, and nothing of that is lost,
// for nobody was told that it is stable. A batch is begun only when the one
// before is stable: damage before the last batch is a loss.
func (f *found) examine(recs []rec, gaps []gap, tail bool) ([]rec, []gap, int64, int64) {
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
		return recs, gaps, end, 0
	}
	if len(recs) == 0 {
		f.end = format.Begin
		return nil, nil, f.end, 0
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
	f.end = end
	return recs, gaps, min(begin, end), whole - end
}
