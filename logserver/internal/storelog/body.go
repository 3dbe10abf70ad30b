package storelog

import (
	"hash/crc32"
	"slices"

	"github.com/ftnet/ftnet/logserver/internal/store"
)

// body is a store's Frame, in which large pieces of data wait as they will lie in a
// segment. So they need not be copied any more. One batch has one body at
// most. Log.mu guards it, but for what lies below used, which does not change,
// and what is not payload, which is the store's while it appends.
type body struct {
	mem  []byte
	used int // where the next record will begin
	recs []placed
	// loans is how many borrowers may write to what lies beyond used.
	loans int
	done  bool // written, or not wanted any more
	dirty int  // where what was used or lent ends
}

// placed is a Data record in a body.
type placed struct {
	c   *conn
	off int64
	n   int
	at  int    // where it begins
	sum uint32 // of its payload
}

const (
	// placeFrom is the length from which on data goes to a body; what is shorter
	// is gathered by connection, so that records do not become too many.
	placeFrom = 16 << 10
	// keepBodies is how many bodies that nobody uses are kept.
	keepBodies = 4
)

// bodies are those that wait. Log.mu guards them.
type bodies struct {
	size int // of one; 0 if the store has none
	new  func(n int) []byte
	in   store.Layout
	now  *body   // where data is placed; nil if nothing was since the last was taken
	full []*body // what is before it, the oldest first
	free []*body
}

// batchSize is the most of one batch, so that it surely fits into a segment.
func batchSize(cfg Config, layout store.Layout) int64 {
	return min(cfg.Batch, layout.Segment/4) &^ 4095
}

// init makes bodies that surely fit into a segment.
func (m *bodies) init(cfg Config, s store.Store) {
	m.in, m.new = s.Layout(), s.NewFrame
	if m.in.Head > 0 {
		m.size = int(batchSize(cfg, m.in))
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// current returns the body in which n bytes can be placed, or nil if they are
// too many for one.
func (m *bodies) current(n int) *body {
	if m.in.Lead+m.length(n) > m.size {
		return nil
	}
	if m.now != nil && m.now.used+m.length(n) > m.size {
		m.turn()
	}
	if m.now == nil {
		if k := len(m.free); k > 0 {
			m.now, m.free = m.free[k-1], m.free[:k-1]
		} else {
			m.now = &body{mem: m.new(m.size)}
		}
		m.now.used, m.now.done = m.in.Lead, false
		m.now.dirty = max(m.now.dirty, m.now.used)
	}
	return m.now
}

// length is how long a record with n bytes of payload is.
func (m *bodies) length(n int) int { return (m.in.Head + n + m.in.Align - 1) &^ (m.in.Align - 1) }

// turn ends the current body.
func (m *bodies) turn() {
	if len(m.now.recs) > 0 {
		m.full = append(m.full, m.now)
	} else {
		m.release(m.now)
	}
	m.now = nil
}

// waiting tells whether there is one to be written.
func (m *bodies) waiting() bool { return len(m.full) > 0 || m.now != nil && len(m.now.recs) > 0 }

// next returns the oldest, and ends it; nil if nothing waits.
func (m *bodies) next() *body {
	if len(m.full) == 0 && m.waiting() {
		m.turn()
	}
	if len(m.full) == 0 {
		return nil
	}
	b := m.full[0]
	m.full = slices.Delete(m.full, 0, 1)
	return b
}

// release gives a body back that is not needed any more.
func (m *bodies) release(b *body) {
	b.done = true
	if b.loans > 0 {
		return
	}
	clear(b.recs)
	b.recs, b.used = b.recs[:0], 0
	if len(m.free) < keepBodies {
		m.free = append(m.free, b)
		return
	}
	clear(b.mem[:b.dirty])
}

// wipe clears those that nobody uses: no client data stays behind where nobody
// looks after it.
func (m *bodies) wipe() {
	for _, b := range m.free {
		clear(b.mem[:b.dirty])
		b.dirty = 0
	}
}

// places tells whether data is to be placed in a body, and not gathered: all of a
// connection's data that waits is in one or the other, so that it stays in
// order. in is the loan in which it lies where place would put it, or nil. l.mu is held.
func (l *Log) places(c *conn, data []byte, in *loan) bool {
	switch {
	case l.bodies.size == 0 || c.queued != nil && c.queued.n > 0:
		return false
	case c.placed > 0 || in != nil:
		return true
	case len(data) < min(placeFrom, l.maxRecord()/2):
		return false
	}
	return int64(len(l.bodies.full)*l.bodies.size) < l.cfg.Buffer
}

// place puts data that follows the end of what was taken into bodies, where its first
// record may lie already, in a loan.
func (l *Log) place(c *conn, data []byte, in *loan) {
	for ; len(data) > 0; in = nil {
		n := min(len(data), l.maxRecord())
		if b := l.bodies.now; b != nil && b.loans > 0 && in == nil {
			l.bodies.turn() // its rest belongs to the borrower
		}
		b := l.bodies.current(n)
		at := b.used + l.layout.Head
		payload := b.mem[at:][:n]
		if in == nil {
			copy(payload, data)
		}
		end := b.used + l.bodies.length(n)
		clear(b.mem[at+n : end])
		b.recs = append(b.recs, placed{c, c.taken, n, b.used, crc32.Checksum(payload, castagnoli)})
		b.used, b.dirty = end, max(b.dirty, end)
		c.placed++
		l.charge(c, int64(n)+recordCost)
		c.taken += int64(n)
		l.waiting += int64(n)
		data = data[n:]
	}
}

// takeBody returns what the next body holds. l.mu is held.
func (l *Log) takeBody() (list []item) {
	b := l.bodies.next()
	l.writer.body = b
	if b == nil {
		return nil
	}
	for _, p := range b.recs {
		p.c.placed--
		p.c.inFlight++
		list = append(list, item{typ: store.Data, c: p.c, conn: uint64(p.c.id), off: p.off, n: p.n, inBody: true, place: p.at, sum: p.sum})
	}
	return list
}
