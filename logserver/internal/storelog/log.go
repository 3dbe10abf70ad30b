package storelog

import (
	"errors"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// Log is a log above a Store. See the package's comment.
type Log struct {
	cfg    Config
	store  store.Store
	layout store.Layout

	space    space
	counters counters
	up       table.Upcalls

	mu        sync.Mutex // guards the fields below, all conns and the segments; taken before the store's own
	ports     table.Ports
	table     table.Table[*conn]
	numbers   numbers
	closed    bool
	queue     []*queued // what waits for the writer, the oldest first
	waiting   int64     // bytes of client data that are not stable
	urgent    bool      // something in the queue should be written now
	timed     bool      // a timer will set urgent
	cleaning  []item    // copies that the cleaner wants written
	copying   int       // copies that wait or are being written
	cleaned   sync.Cond // copying is 0
	writing   bool      // the writer holds something
	chance    bool      // what failed may work now
	memory    blocks
	bodies    bodies
	segments  map[uint32]*segment // those that something was found in or written to
	ended     []store.Segment     // memory for the store's list
	newest    uint32              // the last segment that something is stable in
	stopping  bool                // Close was called: the writer ends when nothing waits
	writerErr error               // why the writer gave up, once it has
	wake      sync.Cond           // of the writer
	readers   sync.WaitGroup      // those that use segments or bodies; raised under mu while not closed
	lastWrite time.Time           // when the writer has last written

	writer  writer
	cleaner cleaner
}

var (
	_ logserver.Log    = (*Log)(nil)
	_ logserver.Lender = (*Log)(nil)
	_ store.Owner      = (*Log)(nil)
)

// Open opens the log that a store holds. The store is the log's from then on: it closes it, also
// if Open fails. Damage does not make it fail: what is whole is used, Config.Warn and
// Counters tell what was lost.
func Open(s store.Store, cfg Config) (*Log, error) {
	cfg, err := cfg.Complete()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	l := &Log{cfg: cfg, store: s, layout: s.Layout(), segments: make(map[uint32]*segment)}
	l.wake.L, l.cleaned.L = &l.mu, &l.mu
	l.space.init(cfg, l.layout, s)
	l.cleaner.init()
	l.bodies.init(cfg, s)
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	l.space.check()
	if !cfg.Manual {
		l.writer.done.Go(l.write)
		l.cleaner.done.Go(l.clean)
	}
	return l, nil
}

// Close implements logserver.Log. It makes stable what was taken; if the store
// does not let it, it returns why. It must not be called from an upcall.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return logserver.ErrClosed
	}
	l.closed, l.stopping = true, true
	l.mu.Unlock()

	l.cleaner.stop()
	l.cleaned.Broadcast()
	l.cleaner.done.Wait()
	if l.cfg.Manual {
		for l.step() == nil && l.pending() {
		}
	} else {
		l.wake.Broadcast()
		l.writer.done.Wait()
	}
	l.readers.Wait()

	l.mu.Lock()
	err := l.writerErr
	l.table.Clear()
	l.queue = nil
	l.mu.Unlock()
	if e := l.store.Close(); err == nil {
		err = e
	}
	l.space.close()
	return err
}

// recover reads what the store holds, and begins a new segment.
func (l *Log) recover() error {
	r := newReplay(l)
	found, err := l.store.Load(l, r)
	if err != nil {
		return err
	}
	l.counters.lostRecords.Add(found.Lost)
	l.counters.torn.Add(found.Torn)
	l.newest = found.Newest
	if err := r.finish(); err != nil {
		return err
	}
	l.numbers.begin(found.Segments == 0)
	l.report(found.Segments)
	if err = l.claimNumbers(); errors.Is(err, store.ErrFull) {
		l.fail(err)
		return nil
	}
	return err
}

// claimNumbers begins a segment, so that from now on the numbers that this start chooses
// are its own.
func (l *Log) claimNumbers() error {
	b := store.Batch{Time: time.Now().UnixNano()}
	_, err := l.store.Append(&b)
	if err == nil {
		l.mu.Lock()
		l.written(b.Segment)
		l.mu.Unlock()
	}
	return err
}

// written takes note that something is stable in a segment. l.mu is held.
func (l *Log) written(id uint32) *segment {
	l.numbers.safe = true
	if l.newest != id {
		l.newest = id
		l.cleaner.wakeUp()
	}
	return l.segment(id)
}

// report says what was found, and what was lost.
func (l *Log) report(segments int) {
	c := l.Counters()
	if c.LostRecords > 0 || c.LostBytes > 0 {
		l.cfg.Warn("the log is damaged: something that was stable is lost",
			"damaged places", c.LostRecords, "connections", c.LostConns, "bytes of data", c.LostBytes)
	}
	if segments > 0 {
		l.cfg.Info("the log was read", "files", segments, "connections", l.table.Len(), "dropped bytes that were not stable", c.Torn)
	}
}

// Head implements store.Owner.
func (l *Log) Head(b []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.numbers.appendHead(b)
}

// CanFree implements store.Owner.
func (l *Log) CanFree() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list()
	return l.dead() != nil || l.victim() != nil
}
