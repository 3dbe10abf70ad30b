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

// spare are large chunks of one log that were not wiped: they are overwritten
// soon, or wiped when the log has little to do.
type spare []*chunk

// maxSpare is how many there may be.
const maxSpare = 32

// put keeps a chunk, or returns false.
func (s *spare) put(k *chunk) bool {
	if cap(k.data) < 1<<maxShift || len(*s) == maxSpare {
		return false
	}
	*s = append(*s, k)
	return true
}

// wipe gives them all up.
func (s *spare) wipe() {
	for _, k := range *s {
		k.free()
	}
	*s = nil
}

// chunk holds client data from off on.
type chunk struct {
	off    int64
	data   []byte // cap is the chunk's size
	soiled int    // so much of it is not zero, if more than data
	lent   bool   // somebody may write behind data
	loose  bool   // in no buffer (any more): it is given up when the loan ends
}

// room is what lies behind the data.
func (k *chunk) room() []byte { return k.data[len(k.data):cap(k.data)] }

func (k *chunk) end() int64 { return k.off + int64(len(k.data)) }

// newChunk returns one that has room for n bytes, or as many as fit into the
// largest.
func (s *spare) newChunk(off int64, n int) *chunk {
	if last := len(*s) - 1; last >= 0 && n > 1<<(maxShift-1) {
		k := (*s)[last]
		*s = (*s)[:last]
		k.off, k.soiled, k.data = off, max(k.soiled, len(k.data)), k.data[:0]
		return k
	}
	shift := min(max(bits.Len(uint(max(n, 1)-1)), minShift), maxShift)
	if k, ok := pools[shift-minShift].Get().(*chunk); ok {
		k.off = off
		return k
	}
	return &chunk{off: off, data: make([]byte, 0, 1<<shift)}
}

// free wipes the chunk and keeps it for the next.
func (k *chunk) free() {
	clear(k.data[:max(len(k.data), k.soiled)])
	k.data, k.soiled = k.data[:0], 0
	pools[bits.Len(uint(cap(k.data)))-1-minShift].Put(k)
}

// buffer is the part of a client's stream that is not stable yet.
type buffer struct {
	chunks []*chunk
	loan   *chunk // the lent one
}

// lend returns a chunk with room for n bytes behind off, where the buffer ends.
func (b *buffer) lend(s *spare, off int64, n int) *chunk {
	var k *chunk
	if last := len(b.chunks) - 1; last >= 0 && len(b.chunks[last].room()) >= n {
		k = b.chunks[last]
	} else {
		k = s.newChunk(off, 1<<maxShift)
		k.loose = true
	}
	k.lent, b.loan = true, k
	k.soiled = max(k.soiled, len(k.data)+n)
	return k
}

// commit takes n bytes that follow the end of the buffer, which ends where the data of
// the lent chunk does: they lie there already.
func (b *buffer) commit(n int) {
	k := b.loan
	if k.loose {
		k.loose = false
		b.chunks = append(b.chunks, k)
	}
	k.data = k.data[:len(k.data)+n]
}

// add appends p, which begins at off, where the buffer ends.
func (b *buffer) add(s *spare, off int64, p []byte) {
	for len(p) > 0 {
		last := len(b.chunks) - 1
		if last < 0 || len(b.chunks[last].data) == cap(b.chunks[last].data) {
			// As much as there is already: many small writes do not make many
			// small chunks, and one small write makes a small one.
			n := len(p)
			if last >= 0 {
				n = max(n, int(off-b.chunks[0].off))
			}
			b.chunks = append(b.chunks, s.newChunk(off, n))
			last++
		}
		k := b.chunks[last]
		n := copy(k.room(), p)
		k.data = k.data[:len(k.data)+n]
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
