package remote

import (
	"math/bits"
	"sort"
	"sync"
)

// Chunks are of sizes from 512 B to 128 KiB, powers of two.
const (
	minShift = 9
	maxShift = 17
)

var pools [maxShift - minShift + 1]sync.Pool

// chunk holds client data from off on.
type chunk struct {
	off  int64
	data []byte // cap is the chunk's size
}

func (k *chunk) end() int64 { return k.off + int64(len(k.data)) }

// newChunk returns one that has room for n bytes, or as many as fit into the
// largest.
func newChunk(off int64, n int) *chunk {
	shift := min(max(bits.Len(uint(max(n, 1)-1)), minShift), maxShift)
	if k, ok := pools[shift-minShift].Get().(*chunk); ok {
		k.off = off
		return k
	}
	return &chunk{off: off, data: make([]byte, 0, 1<<shift)}
}

// free wipes the chunk and keeps it for the next.
func (k *chunk) free() {
	clear(k.data)
	k.data = k.data[:0]
	pools[bits.Len(uint(cap(k.data)))-1-minShift].Put(k)
}

// buffer is the part of a client's stream that is not stable yet.
type buffer struct{ chunks []*chunk }

// add appends p, which begins at off, where the buffer ends.
func (b *buffer) add(off int64, p []byte) {
	for len(p) > 0 {
		last := len(b.chunks) - 1
		if last < 0 || len(b.chunks[last].data) == cap(b.chunks[last].data) {
			// As much as there is already: many small writes do not make many
			// small chunks, and one small write makes a small one.
			n := len(p)
			if last >= 0 {
				n = max(n, int(off-b.chunks[0].off))
			}
			b.chunks = append(b.chunks, newChunk(off, n))
			last++
		}
		k := b.chunks[last]
		n := min(len(p), cap(k.data)-len(k.data))
		k.data = append(k.data, p[:n]...)
		off, p = off+int64(n), p[n:]
	}
}

// drop gives up the chunks that lie wholly below off.
func (b *buffer) drop(off int64, give func(*chunk)) {
	n := 0
	for n < len(b.chunks) && b.chunks[n].end() <= off {
		give(b.chunks[n])
		b.chunks[n] = nil
		n++
	}
	if b.chunks = b.chunks[n:]; len(b.chunks) == 0 {
		b.chunks = nil
	}
}

// pieces calls f with the data between from and to, in order.
func (b *buffer) pieces(from, to int64, f func(p []byte)) {
	i := sort.Search(len(b.chunks), func(i int) bool { return b.chunks[i].end() > from })
	for ; from < to; i++ {
		k := b.chunks[i]
		p := k.data[from-k.off:]
		p = p[:min(int64(len(p)), to-from)]
		f(p)
		from += int64(len(p))
	}
}
