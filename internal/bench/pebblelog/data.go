package pebblelog

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/ftnet/ftnet/logserver"
)

// chunkSize is the most bytes that stand under one key.
const chunkSize = 256 << 10

// arena is memory that the bytes of one batch wait in.
type arena struct{ blocks [][]byte }

const blockSize = 1 << 20

// grow copies p to the arena. The result continues last where that is the end
// of the newest block.
func (a *arena) grow(last, p []byte) (joined []byte, ok bool) {
	n := len(a.blocks)
	if n == 0 || len(last) == 0 || len(last)+len(p) > chunkSize {
		return nil, false
	}
	b := a.blocks[n-1]
	if len(b)+len(p) > cap(b) || &b[len(b)-1] != &last[len(last)-1] {
		return nil, false
	}
	from := len(b) - len(last)
	b = append(b, p...)
	a.blocks[n-1] = b
	return b[from:len(b):len(b)], true
}

// add copies p, which is no longer than chunkSize, to the arena.
func (a *arena) add(p []byte) []byte {
	n := len(a.blocks)
	if n == 0 || len(a.blocks[n-1])+len(p) > cap(a.blocks[n-1]) {
		if n < cap(a.blocks) && a.blocks[:n+1][n] != nil {
			a.blocks = a.blocks[:n+1]
			a.blocks[n] = a.blocks[n][:0]
		} else {
			a.blocks = append(a.blocks, make([]byte, 0, blockSize))
		}
		n = len(a.blocks)
	}
	b := a.blocks[n-1]
	from := len(b)
	b = append(b, p...)
	a.blocks[n-1] = b
	return b[from:len(b):len(b)]
}

// Write implements logserver.Log.
func (l *Log) Write(id logserver.ConnID, off int64, p []byte) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
	}
	l.mu.Lock()
	defer l.unlock()
	c, err := l.find(id)
	if err != nil {
		return 0, err
	}
	end := off + int64(len(p))
	switch {
	case off > c.taken:
		return 0, logserver.ErrGap
	case end <= c.taken:
		return len(p), nil
	case c.meta.Finished:
		return int(c.taken - off), logserver.ErrFinished
	}
	fresh := p[c.taken-off:]
	room, scope := l.room(c)
	if int64(len(fresh)) > room {
		fresh = fresh[:room]
		err = &logserver.QuotaError{Scope: scope, Limit: l.limit(scope)}
	}
	if len(fresh) > 0 {
		l.append(c, fresh)
		c.touch()
		l.soil(c)
	}
	return int(c.taken - off), err
}

func (l *Log) append(c *conn, p []byte) {
	l.used += int64(len(p))
	l.waiting += int64(len(p))
	c.taken += int64(len(p))
	if n := len(c.pieces); n > 0 {
		if joined, ok := l.arena.grow(c.pieces[n-1], p); ok {
			c.pieces[n-1] = joined
			return
		}
	}
	for len(p) > 0 {
		n := min(len(p), chunkSize)
		c.pieces = append(c.pieces, l.arena.add(p[:n]))
		p = p[n:]
	}
}

// room returns how many bytes the connection may add, and what bounds them.
// l.mu is held.
func (l *Log) room(c *conn) (int64, logserver.Scope) {
	room, scope := l.cfg.Quota-(c.taken-c.start), logserver.ScopeConn
	if total := l.cfg.QuotaTotal - l.used; total < room {
		room, scope = total, logserver.ScopeTotal
	}
	if buffer := bufferSize - l.waiting; buffer < room {
		room, scope = buffer, logserver.ScopeBuffer
	}
	return max(0, room), scope
}

func (l *Log) limit(s logserver.Scope) int64 {
	switch s {
	case logserver.ScopeConn:
		return l.cfg.Quota
	case logserver.ScopeTotal:
		return l.cfg.QuotaTotal
	}
	return bufferSize
}

// Room implements logserver.Log.
func (l *Log) Room(id logserver.ConnID) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil || c.meta.Finished {
		return 0, err
	}
	room, _ := l.room(c)
	return room, nil
}

// Finish implements logserver.Log.
func (l *Log) Finish(id logserver.ConnID, off int64) error {
	return l.change(id, func(c *conn) error {
		switch {
		case off > c.taken:
			return logserver.ErrGap
		case off < c.taken:
			return logserver.ErrFinished
		case c.meta.Finished:
			return nil
		}
		c.meta.Finished, c.finNews, c.metaDirty = true, true, true
		c.touch()
		return nil
	})
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

// Discard implements logserver.Log.
func (l *Log) Discard(id logserver.ConnID, through int64) error {
	return l.change(id, func(c *conn) error {
		if through > c.stable {
			return logserver.ErrGap
		}
		if through <= c.start {
			return nil
		}
		l.used -= through - c.start
		c.start = through
		c.metaDirty = true
		if len(c.reads.runs) > 0 && c.reads.from < through {
			c.reads.trim(through)
			c.reads.rewrite = true
			l.giveReads(c)
		}
		return nil
	})
}

// Read implements logserver.Log.
func (l *Log) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
	}
	l.mu.Lock()
	c, err := l.find(id)
	if err != nil {
		l.mu.Unlock()
		return 0, err
	}
	start, stable := c.start, c.stable
	l.users.Add(1)
	l.mu.Unlock()
	defer l.users.Done()

	if off < start {
		return 0, logserver.ErrDiscarded
	}
	p = p[:max(0, min(int64(len(p)), stable-off))]
	if len(p) == 0 {
		return 0, nil
	}
	n, err := l.fetch(id, p, off)

	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return 0, logserver.ErrClosed
	case c.gone:
		return 0, logserver.ErrNoConn
	case off < c.start:
		return 0, logserver.ErrDiscarded
	case err == nil && n < len(p):
		err = fmt.Errorf("pebblelog: connection %d: %d of %d bytes at %d are there", id, n, len(p), off)
	}
	return n, err
}

// fetch reads from the database.
func (l *Log) fetch(id logserver.ConnID, p []byte, off int64) (n int, err error) {
	lower, upper := key(id, kindData, 0), key(id, kindData, off+int64(len(p)))
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, err
	}
	defer iter.Close()
	for ok := iter.SeekLT(key(id, kindData, off+1)); ok && n < len(p); ok = iter.Next() {
		at := int64(binary.BigEndian.Uint64(iter.Key()[keyLen-8:]))
		value, err := iter.ValueAndErr()
		if err != nil {
			return n, err
		}
		skip := off + int64(n) - at
		if skip < 0 || skip >= int64(len(value)) {
			break // a gap: the caller says so
		}
		n += copy(p[n:], value[skip:])
	}
	return n, iter.Error()
}
