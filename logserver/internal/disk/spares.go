package disk

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/store"
)

const (
	// checkEvery is how often the free space is looked at.
	checkEvery = time.Second
	// idle is how long more spares are kept than are likely to be needed.
	idle = time.Minute
)

// Prepare implements store.Store: Append finds spares that are filled, and those that nobody has
// needed are removed.
func (f *files) Prepare(ctx context.Context) (more bool, err error) {
	before := f.numSpares()
	after := before
	for err == nil && after < f.readySpares() && ctx.Err() == nil {
		f.rolling.Lock()
		f.dropUnfilled()
		err = f.mayGrow()
		f.rolling.Unlock()
		if err == nil {
			err = f.addFilled()
		}
		after = f.numSpares()
	}
	switch {
	case err == nil && after > before:
		f.noDisk.Store(false)
	case errors.Is(err, store.ErrWait):
		err = nil
	case err != nil && lacksSpace(err):
		f.noDisk.Store(true)
	}
	f.dropSpare()
	f.checkFree()
	return after > before, err
}

func (f *files) numSpares() int {
	f.rolling.Lock()
	defer f.rolling.Unlock()
	return len(f.spares)
}

// limit is how many files there may be.
func (f *files) limit() int { return max(4, int(f.cfg.QuotaTotal/f.cfg.Segment)) }

// readySpares is how many spares Prepare makes: so many that Append does not overtake it at once.
func (f *files) readySpares() int { return max(2, min(4, f.limit()/16)) }

// maxSpares is how many files are kept for their space: written anew, they
// cost the file system nothing, nor the time to fill them.
func (f *files) maxSpares() int { return max(2, f.limit()/4) }

// dropUnfilled removes a spare that was made in a hurry, if better ones follow:
// the one that is left over when the log is opened. f.rolling is held.
func (f *files) dropUnfilled() {
	if len(f.spares) < 3 || f.spares[0].filled || !f.spares[1].filled || f.fs.Remove(f.spares[0].path) != nil {
		return
	}
	_ = f.spares[0].file.Close() // it holds nothing
	f.spares = f.spares[1:]
}

// dropSpare removes a spare that nobody has needed for a while.
func (f *files) dropSpare() {
	f.rolling.Lock()
	defer f.rolling.Unlock()
	n := len(f.spares) - 1
	if n < max(f.readySpares(), min(8, f.limit()/8)) || time.Since(time.Unix(0, f.rolled.Load())) < idle && !f.fewFree.Load() {
		return
	}
	sp := f.spares[n]
	if f.fs.Remove(sp.path) != nil {
		return // it does no harm
	}
	f.spares = f.spares[:n]
	_ = sp.file.Close() // it holds nothing
}

// checkFree finds out whether the file system is nearly full, while there would still be
// more files.
func (f *files) checkFree() {
	if time.Since(f.checked) < checkEvery {
		return
	}
	f.checked = time.Now()
	free, err := f.fs.Free(f.dir)
	if err != nil {
		return // the files themselves may still work
	}
	f.mu.Lock()
	grow := int64(f.limit()-len(f.segments)) * f.cfg.Segment
	f.mu.Unlock()
	f.fewFree.Store(free < min(f.cfg.MinFree, max(0, grow)))
}

// Settle implements store.Store: it makes the end of each sealed segment stable, its index, or
// that what a failed write may have left is cut off. Until then the header of the segment
// after it is needed, which says where it ends.
func (f *files) Settle() {
	f.mu.Lock()
	var list []*segment
	for _, s := range f.segments {
		if s.sealed && !s.settled {
			list = append(list, s)
		}
	}
	f.mu.Unlock()
	for _, s := range list {
		size, err := s.size, error(nil)
		if s.cut {
			if err = s.file.Truncate(s.end); err == nil {
				size = s.end
			}
		}
		if err == nil {
			err = s.file.Sync()
		}
		f.mu.Lock()
		// After an error it is no better the next time, and only the next
		// start may have a question.
		s.settled, s.cut, s.size = true, s.cut && err != nil, size
		f.mu.Unlock()
	}
}

// Segments implements store.Store. One may be freed while the end of all before it is stable.
func (f *files) Segments(list []store.Segment) []store.Segment {
	f.mu.Lock()
	defer f.mu.Unlock()
	unsettled := uint32(math.MaxUint32)
	for _, s := range f.segments {
		if !s.settled {
			unsettled = min(unsettled, s.id)
		}
	}
	for _, s := range f.segments {
		if s.sealed {
			list = append(list, store.Segment{ID: s.id, Size: s.size, Ended: s.sealedAt, MayFree: s.id <= unsettled})
		}
	}
	slices.SortFunc(list, func(a, b store.Segment) int { return int(int64(a.ID) - int64(b.ID)) })
	return list
}

// Free implements store.Store.
func (f *files) Free(segment uint32) error {
	s := f.get(segment)
	f.rolling.Lock()
	defer f.rolling.Unlock()
	if err := f.freeFile(s); err != nil {
		return err
	}
	f.mu.Lock()
	delete(f.segments, s.id)
	f.mu.Unlock()
	return nil
}

// freeFile makes a spare of a segment's file, or removes it. It is gone for good
// when freeFile returns. f.rolling is held.
func (f *files) freeFile(s *segment) error {
	if s.size == f.cfg.Segment && !s.cut && len(f.spares) < f.maxSpares() && (s.filled || len(f.spares) < 2 || f.noDisk.Load()) {
		var err error
		s.path, err = f.addSpare(s.file, s.path, s.size, s.filled)
		return err
	}
	if err := f.fs.Remove(s.path); err != nil {
		return err
	}
	if err := f.fs.SyncDir(f.dir); err != nil {
		return err
	}
	_ = s.file.Close()
	return nil
}
