package disk

import (
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftnet/ftnet/logserver/disk/internal/format"
)

// tender is the goroutine that looks after the files: it removes those that
// hold nothing live any more, prepares new ones, and has what lives in mostly
// dead ones copied.
type tender struct {
	done    sync.WaitGroup
	wake    chan struct{}
	ended   chan struct{}
	once    sync.Once
	checked time.Time // when the free space was looked at
	// rolled is when the writer has last taken a spare, in Unix ns.
	rolled atomic.Int64
}

const (
	tendEvery = time.Second
	// settled is how long a segment is left alone before it is cleaned because
	// little of it lives: it may soon be dead by itself.
	settled = 5 * time.Second
	// idle is how long more spares are kept than are likely to be needed.
	idle = time.Minute
)

func (t *tender) init() {
	t.wake, t.ended = make(chan struct{}, 1), make(chan struct{})
}

func (t *tender) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *tender) stop() { t.once.Do(func() { close(t.ended) }) }

func (t *tender) stopped() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// tend is the tender's goroutine.
func (l *Log) tend() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.tender.ended:
			return
		case <-l.tender.wake:
		case <-tick.C:
		}
		l.tendOnce()
	}
}

func (l *Log) tendOnce() {
	l.mu.Lock()
	if !l.numbers.safe {
		l.hurry()
	}
	if time.Since(l.lastWrite) > tendEvery {
		l.bodies.wipe()
	}
	l.mu.Unlock()
	l.settle()
	for l.freeDead() && !l.tender.stopped() {
	}
	l.prepare()
	l.dropSpare()
	l.checkFree()
	for !l.tender.stopped() && l.cleanOne() {
		for l.freeDead() && !l.tender.stopped() {
		}
		l.prepare()
	}
}

// prepare sees to it that the writer finds spares.
func (l *Log) prepare() {
	var err error
	before := l.numSpares()
	after := before
	for err == nil && after < l.readySpares() && !l.tender.stopped() {
		l.rolling.Lock()
		l.dropUnfilled()
		err = l.mayGrow()
		l.rolling.Unlock()
		if err == nil {
			err = l.addFilled()
		}
		after = l.numSpares()
	}
	switch {
	case err == nil && after > before:
		l.space.noDisk.Store(false)
		l.space.check()
	case err != nil && !errors.Is(err, errWait):
		l.space.noDisk.Store(l.space.noDisk.Load() || lacksSpace(err))
		l.space.check()
	}
	if after > before {
		l.mu.Lock()
		l.chance = true
		l.wake.Signal()
		l.mu.Unlock()
	}
}

func (l *Log) numSpares() int {
	l.rolling.Lock()
	defer l.rolling.Unlock()
	return len(l.spares)
}

// readySpares is how many spares the tender makes: so many that the writer does
// not overtake it at once.
func (l *Log) readySpares() int { return max(2, min(4, l.limit()/16)) }

// maxSpares is how many files are kept for their space: written anew, they
// cost the file system nothing, nor the time to fill them.
func (l *Log) maxSpares() int { return max(2, l.limit()/4) }

// dropUnfilled removes a spare that was made in a hurry, if better ones follow:
// the one that is left over when the log is opened. l.rolling is held.
func (l *Log) dropUnfilled() {
	if len(l.spares) < 3 || l.spares[0].filled || !l.spares[1].filled || l.fs.Remove(l.spares[0].path) != nil {
		return
	}
	_ = l.spares[0].file.Close() // it holds nothing
	l.spares = l.spares[1:]
}

// dropSpare removes a spare that nobody has needed for a while.
func (l *Log) dropSpare() {
	l.rolling.Lock()
	defer l.rolling.Unlock()
	n := len(l.spares) - 1
	if n < max(l.readySpares(), min(8, l.limit()/8)) || time.Since(time.Unix(0, l.tender.rolled.Load())) < idle && !l.space.fewFree.Load() {
		return
	}
	sp := l.spares[n]
	if l.fs.Remove(sp.path) != nil {
		return // it does no harm
	}
	l.spares = l.spares[:n]
	_ = sp.file.Close() // it holds nothing
}

// checkFree sets LowSpace if the file system is nearly full, while the log
// would still grow.
func (l *Log) checkFree() {
	if time.Since(l.tender.checked) < tendEvery {
		return
	}
	l.tender.checked = time.Now()
	free, err := l.fs.Free(l.dir)
	if err != nil {
		return // the log itself may still work
	}
	l.mu.Lock()
	grow := int64(l.limit()-len(l.segments)) * l.cfg.Segment
	l.mu.Unlock()
	l.space.fewFree.Store(free < min(l.cfg.MinFree, max(0, grow)))
	l.space.check()
}

// settle makes the end of each sealed segment stable: its index, or that what a
// failed write may have left is cut off. Until then the header of the segment
// after it is needed, which says where it ends.
func (l *Log) settle() {
	l.mu.Lock()
	var list []*segment
	for _, s := range l.segments {
		if s.sealed && !s.settled {
			s.pin()
			list = append(list, s)
		}
	}
	l.mu.Unlock()
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
		l.mu.Lock()
		// After an error it is no better the next time, and only the next
		// start may have a question.
		s.settled, s.cut, s.size = true, s.cut && err != nil, size
		s.pins--
		l.mu.Unlock()
	}
}

// freeDead removes the oldest segment that holds nothing live, and tells
// whether there may be more.
func (l *Log) freeDead() bool {
	l.mu.Lock()
	s := l.dead()
	if s == nil {
		l.mu.Unlock()
		return false
	}
	if l.moveTombs(s) {
		l.mu.Unlock()
		return false // once they are stable elsewhere
	}
	s.pin() // nobody else begins to free it
	l.mu.Unlock()

	l.rolling.Lock()
	defer l.rolling.Unlock()
	err := l.freeFile(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	s.pins--
	if err != nil {
		return false
	}
	delete(l.segments, s.id)
	l.chance = true
	l.wake.Signal()
	return true
}

// freeFile makes a spare of a segment's file, or removes it. It is gone for good
// when freeFile returns: later Tombs may depend on that.
func (l *Log) freeFile(s *segment) error {
	if s.size == l.cfg.Segment && !s.cut && len(l.spares) < l.maxSpares() && (s.filled || len(l.spares) < 2 || l.space.noDisk.Load()) {
		var err error
		s.path, err = l.addSpare(s.file, s.path, s.size, s.filled)
		return err
	}
	if err := l.fs.Remove(s.path); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	_ = s.file.Close()
	return nil
}

// dead returns the oldest segment that can go. The last whose header is stable
// says which numbers were used. l.mu is held.
func (l *Log) dead() *segment {
	unsettled := uint32(math.MaxUint32)
	for _, s := range l.segments {
		if !s.settled {
			unsettled = min(unsettled, s.id)
		}
	}
	var oldest *segment
	for _, s := range l.segments {
		if s.id <= unsettled && s.id != l.newest && s.sealed && s.live == 0 && s.pins == 0 && !s.moving && (oldest == nil || s.id < oldest.id) {
			oldest = s
		}
	}
	return oldest
}

// canShrink tells whether files will become free. l.mu is held.
func (l *Log) canShrink() bool { return l.dead() != nil || l.victim() != nil }

// moveTombs has those of a dead segment's Tombs written again that are still
// needed, and tells whether there are any. l.mu is held.
func (l *Log) moveTombs(s *segment) bool {
	var others []uint32
	for id := range l.segments {
		if id != s.id {
			others = append(others, id)
		}
	}
	slices.Sort(others)
	var needed []item
	for _, t := range s.tombs {
		k, _ := slices.BinarySearch(others, t.begun)
		if k < len(others) && others[k] <= t.last {
			needed = append(needed, item{typ: format.Tomb, flags: format.Copy, conn: t.conn, off: t.span()})
		}
	}
	s.tombs = nil
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
