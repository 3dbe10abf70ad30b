package pebblelog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/ftnet/ftnet/logserver"
)

// Open opens the log in dir, which is made if it is not there. config may be
// nil.
func Open(dir string, config *Config) (*Log, error) {
	var cfg Config
	if config != nil {
		cfg = *config
	}
	cfg.Quota = cmp.Or(cfg.Quota, 64<<20)
	cfg.QuotaTotal = cmp.Or(cfg.QuotaTotal, 1<<30)
	cfg.LowSpace = cmp.Or(cfg.LowSpace, cfg.QuotaTotal-cfg.QuotaTotal/8)
	o := options(cfg)
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, db: db, dir: dir, options: o, work: make(chan struct{}, 1), ended: make(chan struct{}),
		services: map[uint16]bool{}, conns: map[logserver.ConnID]*conn{}, last: map[uint32]uint32{}, arena: new(arena),
	}
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l.mu.Lock()
	l.unlock() // the status follows from what was found
	go l.commit()
	return l, nil
}

func options(cfg Config) *pebble.Options {
	o := &pebble.Options{
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		// Data is written once and read only after a crash: few compactions.
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      1000,
		LBaseMaxBytes:              512 << 20,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		FlushDelayDeleteRange:      100 * time.Millisecond,
		Logger:                     quiet{},
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 32 << 20
	}
	if !cfg.Inline {
		o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
			return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 512, MaxBlobReferenceDepth: 100, RewriteMinimumAge: time.Second, TargetGarbageRatio: 0.5}
		}
	}
	return o
}

// quiet logs nothing but what ends the process.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func (quiet) Fatalf(format string, args ...any) { pebble.DefaultLogger.Fatalf(format, args...) }

// recover finds the connections that are in the database.
func (l *Log) recover() error {
	iter, err := l.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.SeekGE([]byte{'c'}); ok && iter.Key()[0] == 'c'; {
		id := logserver.ConnID(binary.BigEndian.Uint64(iter.Key()[1:]))
		if err := l.recoverConn(iter, id); err != nil {
			return err
		}
		ok = iter.SeekGE(connKey(id + 1))
	}
	for ok := iter.SeekGE([]byte{'n'}); ok && iter.Key()[0] == 'n'; ok = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil || len(value) != 4 {
			return fmt.Errorf("pebblelog: damaged number: %w", err)
		}
		l.last[binary.BigEndian.Uint32(iter.Key()[1:])] = binary.BigEndian.Uint32(value)
	}
	slices.SortFunc(l.order, func(a, b *conn) int {
		return cmp.Or(a.meta.Created.Compare(b.meta.Created), cmp.Compare(a.meta.ID, b.meta.ID))
	})
	return iter.Error()
}

// recoverConn reads what the iterator, which stands at a connection's first
// key, has of it.
func (l *Log) recoverConn(iter *pebble.Iterator, id logserver.ConnID) error {
	value, err := iter.ValueAndErr()
	if err != nil {
		return err
	}
	rec, err := decode(id, value)
	if err != nil {
		return err
	}
	c := &conn{meta: rec.meta, start: rec.start, stable: rec.start}
	for ok := iter.Next(); ok; ok = iter.Next() {
		k := iter.Key()
		if len(k) != keyLen || logserver.ConnID(binary.BigEndian.Uint64(k[1:])) != id || k[9] != kindReads {
			break
		}
		if value, err = iter.ValueAndErr(); err != nil {
			return err
		}
		from, runs := decodeReads(value)
		if len(c.reads.runs) == 0 {
			c.reads.from = from
		}
		for _, r := range runs {
			c.reads.runs = appendRead(c.reads.runs, r.Length, r.Count)
		}
		c.reads.seq = int64(binary.BigEndian.Uint64(k[keyLen-8:])) + 1
	}
	c.reads.trim(c.start)
	if iter.SeekLT(connKey(id + 1)) {
		if k := iter.Key(); len(k) == keyLen && k[9] == kindData {
			v := iter.LazyValue()
			off := int64(binary.BigEndian.Uint64(k[keyLen-8:]))
			c.lastChunk, c.lastEnd = off, off+int64(v.Len())
			c.stable = max(c.stable, c.lastEnd)
		}
	}
	c.taken = c.stable
	c.charged = int64(len(c.reads.runs)) * runCost
	l.used += connCost + c.charged + c.taken - c.start
	l.conns[id] = c
	l.order = append(l.order, c)
	return nil
}

// Close implements logserver.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return logserver.ErrClosed
	}
	l.closed = true
	l.conns, l.order = nil, nil
	l.used, l.flags = 0, logserver.Failed
	l.unlock()
	l.wake()
	close(l.work)
	<-l.ended
	l.users.Wait()
	return l.db.Close()
}
