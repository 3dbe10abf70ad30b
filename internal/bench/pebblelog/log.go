package pebblelog

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/ftnet/ftnet/logserver"
)

// Config sets the log's limits; the fields are those of
// logserver.MemoryConfig. The zero value is usable.
type Config struct {
	Quota, QuotaTotal, LowSpace int64
	// Inline keeps the data in tables instead of blob files.
	Inline bool
	// Ingest makes a table at once of the data of a large batch.
	Ingest bool
}

const (
	connCost   = 320 // bytes that a connection without data is charged for
	runCost    = 8
	bufferSize = 64 << 20 // bytes that wait to be committed
)

// Log is a log in a directory.
type Log struct {
	cfg     Config
	db      *pebble.DB
	dir     string
	options *pebble.Options
	tables  int
	up      atomic.Pointer[func([]logserver.Upcall)]
	status  atomic.Pointer[func(logserver.Status)]
	work    chan struct{} // capacity 1: there is something to commit
	ended   chan struct{} // closed when the committer has ended
	users   sync.WaitGroup

	mu       sync.Mutex // guards the fields below, and all of a conn
	services map[uint16]bool
	conns    map[logserver.ConnID]*conn
	order    []*conn // as opened, deleted ones included until compact
	last     map[uint32]uint32
	lastNews []uint32 // upper halves whose last is to be written
	dirty    []*conn
	deleted  []logserver.ConnID
	arena    *arena
	spare    []*arena
	batches  []*pebble.Batch
	waiting  int64 // bytes that are not stable
	used     int64
	flags    logserver.Status
	told     logserver.Status
	closed   bool
}

var _ logserver.Log = (*Log)(nil)

// conn is a connection.
type conn struct {
	meta                 logserver.Meta
	start, stable, taken int64
	lastChunk, lastEnd   int64 // of the last chunk; lastEnd is 0 if there is none
	pieces               [][]byte
	reads                readLog
	charged              int64 // for reads
	gone, dirty          bool
	metaDirty            bool // the record is to be written
	metaNews, finNews    bool // and an upcall is to say so
}

func (c *conn) touch() { c.meta.Modified = time.Now() }

// RegisterService implements logserver.Log.
func (l *Log) RegisterService(port uint16) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return logserver.ErrClosed
	}
	l.services[port] = true
	return nil
}

func validate(m logserver.Meta) error {
	if len(m.SYNOptions) > logserver.MaxOptions || len(m.SYNACKOptions) > logserver.MaxOptions {
		return fmt.Errorf("%w: %d and %d bytes of TCP options", logserver.ErrInvalid, len(m.SYNOptions), len(m.SYNACKOptions))
	}
	return nil
}

// Open implements logserver.Log.
func (l *Log) Open(m logserver.Meta) (logserver.ConnID, error) {
	if err := validate(m); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.unlock()
	switch {
	case l.closed:
		return 0, logserver.ErrClosed
	case !l.services[0] && !l.services[m.Server.Port()]:
		return 0, fmt.Errorf("%w: port %d", logserver.ErrNotRegistered, m.Server.Port())
	}
	if m.ID == 0 {
		m.ID = l.above()
	}
	upper, lower := uint32(m.ID>>32), uint32(m.ID)
	if last, ok := l.last[upper]; ok && lower <= last {
		return 0, logserver.ErrExists
	}
	if !l.take(connCost) {
		return 0, l.full()
	}
	l.last[upper] = lower
	l.lastNews = append(l.lastNews, upper)
	m.SYNOptions, m.SYNACKOptions = slices.Clone(m.SYNOptions), slices.Clone(m.SYNACKOptions)
	m.Finished = false
	m.Created = time.Now()
	m.Modified = m.Created
	c := &conn{meta: m, metaNews: true, metaDirty: true}
	l.conns[m.ID] = c
	l.order = append(l.order, c)
	l.soil(c)
	return m.ID, nil
}

// above returns a number above all that were used. l.mu is held.
func (l *Log) above() logserver.ConnID {
	id := logserver.ConnID(1)
	for upper, lower := range l.last {
		id = max(id, logserver.ConnID(upper)<<32|logserver.ConnID(lower)+1)
	}
	return id
}

// Update implements logserver.Log.
func (l *Log) Update(m logserver.Meta) error {
	if err := validate(m); err != nil {
		return err
	}
	return l.change(m.ID, func(c *conn) error {
		m.SYNOptions, m.SYNACKOptions = slices.Clone(m.SYNOptions), slices.Clone(m.SYNACKOptions)
		m.Finished, m.Created = c.meta.Finished, c.meta.Created
		c.meta, c.metaNews, c.metaDirty = m, true, true
		c.touch()
		return nil
	})
}

// Touch implements logserver.Log.
func (l *Log) Touch(id logserver.ConnID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err == nil {
		c.touch()
	}
	return err
}

// find returns a connection. l.mu is held.
func (l *Log) find(id logserver.ConnID) (*conn, error) {
	if l.closed {
		return nil, logserver.ErrClosed
	}
	if c := l.conns[id]; c != nil {
		return c, nil
	}
	return nil, logserver.ErrNoConn
}

// change calls f with the connection and l.mu held, and has what f changed
// committed.
func (l *Log) change(id logserver.ConnID, f func(c *conn) error) error {
	l.mu.Lock()
	defer l.unlock()
	c, err := l.find(id)
	if err != nil {
		return err
	}
	err = f(c)
	l.soil(c)
	return err
}

// soil has the connection written with the next batch. l.mu is held.
func (l *Log) soil(c *conn) {
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
	l.wake()
}

func (l *Log) wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// NumActive implements logserver.Log.
func (l *Log) NumActive() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Active implements logserver.Log.
func (l *Log) Active(first, n int) ([]logserver.Meta, error) {
	if first < 0 || n < 0 {
		return nil, fmt.Errorf("%w: Active(%d, %d)", logserver.ErrInvalid, first, n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, logserver.ErrClosed
	}
	l.compact()
	conns := l.order[min(first, len(l.order)):]
	conns = conns[:min(n, len(conns))]
	metas := make([]logserver.Meta, 0, len(conns))
	for _, c := range conns {
		metas = append(metas, c.told())
	}
	return metas, nil
}

// told is the metadata as callers may have it.
func (c *conn) told() logserver.Meta {
	m := c.meta
	m.SYNOptions, m.SYNACKOptions = slices.Clone(m.SYNOptions), slices.Clone(m.SYNACKOptions)
	return m
}

// compact drops deleted connections from l.order. l.mu is held.
func (l *Log) compact() {
	if len(l.order) > len(l.conns) {
		l.order = slices.DeleteFunc(l.order, func(c *conn) bool { return c.gone })
	}
}

// Lookup implements logserver.Log.
func (l *Log) Lookup(ep netip.AddrPort) ([]logserver.Meta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, logserver.ErrClosed
	}
	l.compact()
	var metas []logserver.Meta
	for _, c := range l.order {
		if c.meta.Client == ep || c.meta.Server == ep {
			metas = append(metas, c.told())
		}
	}
	return metas, nil
}

// Meta implements logserver.Log.
func (l *Log) Meta(id logserver.ConnID) (logserver.Meta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return logserver.Meta{}, err
	}
	return c.told(), nil
}

// Delete implements logserver.Log.
func (l *Log) Delete(id logserver.ConnID) error {
	l.mu.Lock()
	defer l.unlock()
	c, err := l.find(id)
	if err == nil {
		l.remove(c)
	}
	return err
}

// remove deletes a connection. l.mu is held.
func (l *Log) remove(c *conn) {
	c.gone = true
	delete(l.conns, c.meta.ID)
	if len(l.order) > 2*len(l.conns)+64 {
		l.compact()
	}
	l.used -= connCost + c.charged + c.taken - c.start
	l.drop(c)
	l.deleted = append(l.deleted, c.meta.ID)
	l.wake()
}

// Expire implements logserver.Log.
func (l *Log) Expire(t time.Time) []logserver.ConnID {
	expired := l.expire(t)
	if len(expired) > 0 {
		l.announce(l.Status() | logserver.Expired)
	}
	return expired
}

func (l *Log) expire(t time.Time) (expired []logserver.ConnID) {
	l.mu.Lock()
	defer l.unlock()
	if l.closed {
		return nil
	}
	for _, c := range slices.Clone(l.order) {
		if !c.gone && c.meta.Modified.Before(t) {
			l.remove(c)
			expired = append(expired, c.meta.ID)
		}
	}
	return expired
}
