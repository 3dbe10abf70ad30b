package memory

import (
	"fmt"
	"math"
	"sort"

	"github.com/ftnet/ftnet/logserver"
)

// extent is a chunk that holds a connection's data from off on. The extents
// of a connection follow each other without gaps.
type extent struct {
	off int64
	chunk
}

func (e extent) end() int64 { return e.off + int64(e.size()) }

// Write implements logserver.Log. It copies p, and allocates only where a connection
// needs another chunk.
func (m *Log) Write(id logserver.ConnID, off int64, p []byte) (n int, err error) {
	return m.write(id, off, p, nil)
}

// write is Write for what may lie at the beginning of a loan.
func (m *Log) write(id logserver.ConnID, off int64, p []byte, in *loan) (n int, err error) {
	c, err := m.lock(id)
	if err != nil {
		return 0, err
	}
	m.wiper.writes.Add(1)
	before := c.end
	if in != nil && in.begins(c) {
		c.end += int64(len(p))
	} else {
		err = m.append(c, off, p)
	}
	if off >= 0 && off <= c.end {
		n = int(min(c.end-off, int64(len(p))))
	}
	u := logserver.Upcall{ID: c.id, Tag: c.info.Tag, Stable: c.end}
	if c.end > before {
		c.info.Touch()
	}
	c.mu.Unlock()

	m.space.check()
	if u.Stable > before {
		m.tell(u)
	}
	return n, err
}

// append stores what p has beyond the end. c.mu is held.
func (m *Log) append(c *conn, off int64, p []byte) error {
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
	}
	if off > c.end {
		return logserver.ErrGap
	}
	skip := c.end - off
	if skip >= int64(len(p)) {
		return nil
	}
	if c.finished {
		return logserver.ErrFinished
	}
	p = p[skip:]

	for len(p) > 0 {
		if n := len(c.extents); n == 0 || c.extents[n-1].end() == c.end {
			if err := m.grow(c, int64(len(p))); err != nil {
				return err
			}
		}
		e := c.extents[len(c.extents)-1]
		room := e.bytes()[c.end-e.off:]
		n := copy(room, p)
		c.end += int64(n)
		p = p[n:]
	}
	return nil
}

// grow adds a chunk. It is as large as all that the connection has, so that
// at most half is unused, and no smaller than what is to be written now.
func (m *Log) grow(c *conn, need int64) error {
	shift := classShift(max(need, c.end-c.start))
	for !m.space.take(1 << shift) {
		if shift == minShift {
			return m.space.full()
		}
		shift--
	}
	got, ok := m.wiper.reuse(shift)
	if !ok {
		var err error
		if got, err = m.arena.alloc(shift); err != nil {
			m.space.give(1 << shift)
			m.space.status.Set(logserver.Other)
			return fmt.Errorf("logserver: no memory: %w", err)
		}
	}
	m.space.status.Unset(logserver.Other)
	c.extents = append(c.extents, extent{c.end, got})
	return nil
}

// Room implements logserver.Log.
func (m *Log) Room(id logserver.ConnID) (int64, error) {
	c, err := m.lock(id)
	if err != nil {
		return 0, err
	}
	defer c.mu.Unlock()
	if c.finished {
		return 0, nil
	}
	total := m.space.room() &^ (minChunk - 1)
	if n := len(c.extents); n > 0 {
		total += c.extents[n-1].end() - c.end
	}
	return total, nil
}

// Finish implements logserver.Log.
func (m *Log) Finish(id logserver.ConnID, off int64) error {
	c, err := m.lock(id)
	if err != nil {
		return err
	}
	news := false
	switch {
	case off > c.end:
		err = logserver.ErrGap
	case off < c.end:
		err = logserver.ErrFinished
	case !c.finished:
		c.finished, news = true, true
		c.info.Touch()
	}
	u := logserver.Upcall{ID: c.id, Tag: c.info.Tag, Stable: c.end, Fin: true}
	c.mu.Unlock()
	if news {
		m.tell(u)
	}
	return err
}

// Length implements logserver.Log.
func (m *Log) Length(id logserver.ConnID) (start, end int64, err error) {
	c, err := m.lock(id)
	if err != nil {
		return 0, 0, err
	}
	defer c.mu.Unlock()
	return c.start, c.end, nil
}

// Read implements logserver.Log. It copies without holding the connection's lock: what
// is below the end does not change, and chunks that are freed meanwhile wait.
func (m *Log) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	c, err := m.lock(id)
	if err != nil {
		return 0, err
	}
	if off < c.start {
		c.mu.Unlock()
		if off < 0 {
			return 0, fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
		}
		return 0, logserver.ErrDiscarded
	}
	if off >= c.end || len(p) == 0 {
		c.mu.Unlock()
		return 0, nil
	}
	extents, end := c.extents, c.end
	m.use(c)
	c.mu.Unlock()

	i := sort.Search(len(extents), func(i int) bool { return extents[i].off > off }) - 1
	if int64(len(p)) > end-off {
		p = p[:end-off]
	}
	read := 0
	for ; read < len(p); i++ {
		e := extents[i]
		read += copy(p[read:], e.bytes()[off+int64(read)-e.off:])
	}

	m.unuse(c)
	return read, nil
}

// Rebase implements logserver.Log.
func (m *Log) Rebase(id logserver.ConnID, b logserver.Base) error {
	if err := b.Validate(); err != nil {
		return err
	}
	c, err := m.lock(id)
	if err != nil {
		return err
	}
	old := c.info.Base(c.start)
	more := int64(len(b.State) - len(old.State))
	switch {
	case b.In > c.end:
		err = logserver.ErrGap
	case !b.Beyond(old):
	case more > 0 && !m.space.take(more):
		err = m.space.full()
	default:
		m.space.give(max(-more, 0))
		c.info.Rebase(&b)
		c.start = b.In
		if c.reads != nil {
			c.reads.Trim(b.In)
		}
		m.drop(c, b.In)
		m.space.check()
		return nil
	}
	c.mu.Unlock()
	return err
}

// drop frees the extents that lie wholly below through. It is called with
// c.mu held and gives it up.
func (m *Log) drop(c *conn, through int64) {
	n, cost := 0, int64(0)
	for n < len(c.extents) && min(c.extents[n].end(), c.end) <= through {
		cost += int64(c.extents[n].size())
		n++
	}
	freed := make([]dirty, n)
	for i, e := range c.extents[:n] {
		used := int(min(e.end(), max(c.end, c.lent)) - e.off)
		freed[i] = dirty{e.chunk, max(used, int(e.stale))}
	}
	// The slice is cut, not cleared: a reader may be walking it.
	if c.extents = c.extents[n:]; len(c.extents) == 0 {
		c.extents = nil
	}
	if c.users > 0 && n > 0 {
		if c.unread == nil {
			c.unread = new([]dirty)
		}
		*c.unread = append(*c.unread, freed...)
		freed = nil
	}
	m.busy.Add(1)
	c.mu.Unlock()
	m.wiper.wipe(freed)
	m.busy.Done()
	m.space.give(cost)
}
