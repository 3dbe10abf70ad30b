package pebblelog

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/ftnet/ftnet/logserver"
)

// batchSize is about how many bytes one batch has at most: while one is synced
// the next one is made.
const batchSize = 4 << 20

// flight is a batch on its way to the disk, and what is told when it is there.
type flight struct {
	batch  *pebble.Batch
	chunks []chunk
	news   []news
	bytes  int64
	path   string     // of a table with the data
	table  chan error // told when it is written
	arena  *arena     // of this batch and those before it, if it is the last to use it
}

type news struct {
	c         *conn
	end       int64
	meta, fin bool
}

// commit makes batches until the log is closed. One after the other they are
// filled, applied and waited for, each by a goroutine of its own.
func (l *Log) commit() {
	filled, applied := make(chan *flight, 2), make(chan *flight, 2)
	var stages sync.WaitGroup
	stages.Go(func() {
		defer close(applied)
		for f := range filled {
			must(<-f.table)
			must(l.apply(f))
			applied <- f
		}
	})
	stages.Go(func() {
		for f := range applied {
			must(f.batch.SyncWait())
			l.tell(f)
		}
	})
	for range l.work {
		for all := l.collect(); len(all) > 0; all = l.collect() {
			for _, f := range all {
				l.fill(f)
				filled <- f
			}
		}
	}
	close(filled)
	stages.Wait()
	for _, b := range l.batches {
		b.Close()
	}
	close(l.ended)
}

// must ends the process, as pebble itself does when it cannot write.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// fill copies the data to the batch, or begins to write a table of it.
func (l *Log) fill(f *flight) {
	f.table = make(chan error, 1)
	if l.cfg.Ingest && f.bytes >= ingestSize {
		l.tables++
		f.path = filepath.Join(l.dir, fmt.Sprintf("ingest-%d", l.tables))
		go func() { f.table <- writeTable(f.path, f.chunks, l.options.MakeWriterOptions(0, l.db.TableFormat())) }()
		return
	}
	for _, ch := range f.chunks {
		ch.put(f.batch)
	}
	f.table <- nil
}

func (l *Log) apply(f *flight) error {
	if f.path != "" {
		if err := l.db.Ingest(context.Background(), []string{f.path}); err != nil {
			return err
		}
	}
	return l.db.ApplyNoSyncWait(f.batch, pebble.Sync)
}

// chunk is client bytes of a batch.
type chunk struct {
	id     logserver.ConnID
	off    int64
	pieces [][]byte
}

// collect makes batches of what is there to be written.
func (l *Log) collect() []*flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.dirty) == 0 && len(l.deleted) == 0 {
		return nil
	}
	f := &flight{batch: l.newBatch()}
	all := []*flight{f}
	for _, upper := range l.lastNews {
		lower := l.last[upper]
		f.batch.Set(lastKey(upper), []byte{byte(lower >> 24), byte(lower >> 16), byte(lower >> 8), byte(lower)}, nil)
	}
	l.lastNews = l.lastNews[:0]
	for _, id := range l.deleted {
		f.batch.DeleteRange(connKey(id), connKey(id+1), nil)
	}
	l.deleted = l.deleted[:0]
	for _, c := range l.dirty {
		if c.dirty = false; c.gone {
			continue
		}
		if f.bytes >= batchSize {
			f = &flight{batch: l.newBatch()}
			all = append(all, f)
		}
		l.put(f, c)
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	f.arena = l.arena
	l.arena = l.newArena()
	return all
}

// newBatch returns an empty batch: one that was used before has its memory.
func (l *Log) newBatch() *pebble.Batch {
	if n := len(l.batches); n > 0 {
		b := l.batches[n-1]
		l.batches = l.batches[:n-1]
		return b
	}
	return l.db.NewBatch(pebble.WithMaxRetainedSizeBytes(4 * batchSize))
}

func (l *Log) newArena() *arena {
	if n := len(l.spare); n > 0 {
		a := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return a
	}
	return new(arena)
}

// put adds a connection to the batch. l.mu is held.
func (l *Log) put(f *flight, c *conn) {
	id, b := c.meta.ID, f.batch
	if c.metaDirty {
		b.Set(metaKey(id), record{c.meta, c.start}.encode(), nil)
		// All of the chunk that the start lies in stays, as does what may be
		// such a chunk.
		below := max(0, c.start-chunkSize)
		if c.lastEnd > 0 && c.start >= c.lastEnd {
			below = c.lastChunk + 1
		}
		if below > 0 {
			b.DeleteRange(key(id, kindData, 0), key(id, kindData, below), nil)
		}
	}
	r := &c.reads
	switch {
	case r.rewrite:
		b.DeleteRange(key(id, kindReads, 0), key(id, kindReads, r.seq), nil)
		b.Set(key(id, kindReads, r.seq), encodeReads(r.from, r.runs), nil)
		r.seq++
	case len(r.fresh) > 0:
		b.Set(key(id, kindReads, r.seq), encodeReads(r.from, r.fresh), nil)
		r.seq++
	}
	r.fresh, r.rewrite = nil, false
	off := c.taken
	for _, p := range c.pieces {
		off -= int64(len(p))
	}
	f.bytes += c.taken - off
	for left := c.pieces; len(left) > 0; {
		n, size := 0, 0
		for n < len(left) && size+len(left[n]) <= chunkSize {
			size += len(left[n])
			n++
		}
		f.chunks = append(f.chunks, chunk{id, off, left[:n]})
		c.lastChunk, c.lastEnd = off, off+int64(size)
		off += int64(size)
		left = left[n:]
	}
	c.pieces = nil
	f.news = append(f.news, news{c, c.taken, c.metaNews, c.finNews})
	c.metaDirty, c.metaNews, c.finNews = false, false, false
}

func (ch chunk) key() []byte { return key(ch.id, kindData, ch.off) }

func (ch chunk) put(b *pebble.Batch) {
	size := 0
	for _, p := range ch.pieces {
		size += len(p)
	}
	op := b.SetDeferred(keyLen, size)
	copy(op.Key, ch.key())
	n := 0
	for _, p := range ch.pieces {
		n += copy(op.Value[n:], p)
	}
	op.Finish()
}

// tell says what a batch that is on the disk has made stable.
func (l *Log) tell(f *flight) {
	var list []logserver.Upcall
	l.mu.Lock()
	for _, n := range f.news {
		if n.c.gone || n.end == n.c.stable && !n.meta && !n.fin {
			continue
		}
		n.c.stable = max(n.c.stable, n.end)
		list = append(list, logserver.Upcall{ID: n.c.meta.ID, Tag: n.c.meta.Tag, Stable: n.c.stable, Meta: n.meta, Fin: n.fin})
	}
	l.waiting -= f.bytes
	if f.arena != nil {
		f.arena.blocks = f.arena.blocks[:0]
		l.spare = append(l.spare, f.arena)
	}
	f.batch.Reset()
	l.batches = append(l.batches, f.batch)
	l.mu.Unlock()
	if up := l.up.Load(); up != nil && *up != nil && len(list) > 0 {
		(*up)(list)
	}
}

// drop forgets what of a deleted connection waits. Its bytes stay in the arena
// until the next batch has taken it. l.mu is held.
func (l *Log) drop(c *conn) {
	for _, p := range c.pieces {
		l.waiting -= int64(len(p))
	}
	c.pieces = nil
}
