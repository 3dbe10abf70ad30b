package pebblelog

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/ftnet/ftnet/logserver"
)

// batchSize is about how many bytes one batch has at most: while one is synced
// the next one is made.
const batchSize = 4 << 20

// flight is a batch on its way to the disk, and what is told when it is there.
type flight struct {
	batch *pebble.Batch
	news  []news
	arena *arena
	bytes int64
}

type news struct {
	c         *conn
	end       int64
	meta, fin bool
}

// commit makes batches until the log is closed.
func (l *Log) commit() {
	flights := make(chan *flight, 3)
	landed := make(chan struct{})
	go func() {
		defer close(landed)
		for f := range flights {
			if err := f.batch.SyncWait(); err != nil {
				panic(err) // pebble itself has ended the process before
			}
			f.batch.Close()
			l.tell(f)
		}
	}()
	for range l.work {
		for {
			f, ok := l.collect()
			if !ok {
				break
			}
			if err := l.db.ApplyNoSyncWait(f.batch, pebble.Sync); err != nil {
				panic(err)
			}
			flights <- f
		}
	}
	close(flights)
	<-landed
	close(l.ended)
}

// chunk is client bytes of a batch.
type chunk struct {
	id     logserver.ConnID
	off    int64
	pieces [][]byte
}

// collect makes a batch of what is there to be written.
func (l *Log) collect() (*flight, bool) {
	b := l.db.NewBatch()
	f := &flight{batch: b}
	var chunks []chunk

	l.mu.Lock()
	if len(l.dirty) == 0 && len(l.deleted) == 0 {
		l.mu.Unlock()
		b.Close()
		return nil, false
	}
	for _, upper := range l.lastNews {
		lower := l.last[upper]
		b.Set(lastKey(upper), []byte{byte(lower >> 24), byte(lower >> 16), byte(lower >> 8), byte(lower)}, nil)
	}
	l.lastNews = l.lastNews[:0]
	for _, c := range l.dirty {
		c.dirty = false
		if !c.gone {
			f.bytes += l.put(f, c, &chunks)
		}
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	for _, id := range l.deleted {
		b.DeleteRange(connKey(id), connKey(id+1), nil)
	}
	l.deleted = l.deleted[:0]
	f.arena = l.arena
	l.arena = l.newArena()
	l.mu.Unlock()

	for _, ch := range chunks {
		ch.put(b)
	}
	return f, true
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
func (l *Log) put(f *flight, c *conn, chunks *[]chunk) (bytes int64) {
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
	for _, p := range c.pieces {
		bytes += int64(len(p))
	}
	off := c.taken - bytes
	for left := c.pieces; len(left) > 0; {
		n, size := 0, 0
		for n < len(left) && size+len(left[n]) <= chunkSize {
			size += len(left[n])
			n++
		}
		*chunks = append(*chunks, chunk{id, off, left[:n]})
		c.lastChunk, c.lastEnd = off, off+int64(size)
		off += int64(size)
		left = left[n:]
	}
	c.pieces = nil
	f.news = append(f.news, news{c, c.taken, c.metaNews, c.finNews})
	c.metaDirty, c.metaNews, c.finNews = false, false, false
	return bytes
}

func (ch chunk) put(b *pebble.Batch) {
	size := 0
	for _, p := range ch.pieces {
		size += len(p)
	}
	op := b.SetDeferred(keyLen, size)
	copy(op.Key, key(ch.id, kindData, ch.off))
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
	f.arena.blocks = f.arena.blocks[:0]
	l.spare = append(l.spare, f.arena)
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
