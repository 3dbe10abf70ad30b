package storelog

// blockSize is the length of the blocks in which client data waits.
const blockSize = 256 << 10

// block is memory for data of several connections.
type block struct {
	mem  []byte
	used int
	refs int // bytes of it that still wait
}

// piece is data that waits in a block.
type piece struct {
	b        *block
	from, to uint32
}

func (p piece) bytes() []byte { return p.b.mem[p.from:p.to] }

// blocks hands out memory for what waits. Log.mu guards it.
type blocks struct {
	now  *block
	free []*block
}

// keepBlocks is how many blocks that nobody uses are kept.
const keepBlocks = 64

// add copies some of p, and returns where, and how much that was.
func (m *blocks) add(p []byte) (piece, int) {
	if m.now == nil || m.now.used == blockSize {
		if n := len(m.free); n > 0 {
			m.now, m.free = m.free[n-1], m.free[:n-1]
		} else {
			m.now = &block{mem: make([]byte, blockSize)}
		}
	}
	b := m.now
	from := b.used
	n := copy(b.mem[from:], p)
	b.used += n
	b.refs += n
	return piece{b, uint32(from), uint32(from + n)}, n
}

// release gives memory back that was written, or is not wanted any more.
func (m *blocks) release(pieces []piece) {
	for i, p := range pieces {
		pieces[i] = piece{}
		p.b.refs -= int(p.to - p.from)
		if p.b.refs > 0 || p.b == m.now && p.b.used < blockSize {
			continue
		}
		clear(p.b.mem[:p.b.used]) // no client data stays behind where nobody looks after it
		p.b.used = 0
		if p.b == m.now {
			m.now = nil
		}
		if len(m.free) < keepBlocks {
			m.free = append(m.free, p.b)
		}
	}
}
