package disk

// blockSize is the length of the blocks in which client data waits.
const blockSize = 256 << 10

// block is memory for data of several connections.
type block struct {
	buf  []byte // its length is what is used
	refs int    // bytes of it that still wait
}

// piece is data that waits in a block.
type piece struct {
	b        *block
	from, to uint32
}

func (p piece) bytes() []byte { return p.b.buf[p.from:p.to] }

// blocks hands out memory for what waits. Log.mu guards it.
type blocks struct {
	now  *block
	free []*block
}

// keepBlocks is how many blocks that nobody uses are kept.
const keepBlocks = 64

// add copies some of p, and returns where, and how much that was.
func (m *blocks) add(p []byte) (piece, int) {
	if m.now == nil || len(m.now.buf) == cap(m.now.buf) {
		if n := len(m.free); n > 0 {
			m.now, m.free = m.free[n-1], m.free[:n-1]
		} else {
			m.now = &block{buf: make([]byte, 0, blockSize)}
		}
	}
	b := m.now
	from := len(b.buf)
	n := min(len(p), cap(b.buf)-from)
	b.buf = append(b.buf, p[:n]...)
	b.refs += n
	return piece{b, uint32(from), uint32(from + n)}, n
}

// release gives memory back that was written, or is not wanted any more.
func (m *blocks) release(pieces []piece) {
	for i, p := range pieces {
		pieces[i] = piece{}
		p.b.refs -= int(p.to - p.from)
		if p.b.refs > 0 || p.b == m.now && len(p.b.buf) < cap(p.b.buf) {
			continue
		}
		clear(p.b.buf) // no client data stays behind where nobody looks after it
		p.b.buf = p.b.buf[:0]
		if p.b == m.now {
			m.now = nil
		}
		if len(m.free) < keepBlocks {
			m.free = append(m.free, p.b)
		}
	}
}
