package memory

import (
	"errors"
	"math/bits"
	"sync"
)

// The arena hands out chunks of 13 sizes, powers of two from 256 B to 1 MiB.
// Each slab of 2 MiB is cut into chunks of one size for as long as any of them
// is in use; after that any size may have it. The memory is outside the Go
// heap, so that gigabytes of client data cost the garbage collector nothing.
const (
	minShift  = 8  // the smallest chunk, 256 B
	maxShift  = 20 // the largest chunk, 1 MiB
	minChunk  = 1 << minShift
	maxChunk  = 1 << maxShift
	classes   = maxShift - minShift + 1
	slabShift = 21
	slabSize  = 1 << slabShift
	// areaSize is how much address space the arena asks the kernel for at a
	// time. Reserving is free.
	areaSize = 64 << 20
	// hugeFrom is the smallest chunk whose slab uses huge pages. With
	// smaller ones a log of few connections would occupy 2 MiB for each size.
	hugeFrom = 64 << 10
	// keepSlabs is how many unused slabs keep their memory at least, so that a
	// busy log does not pay for page faults again and again.
	keepSlabs = 16
)

var errArenaClosed = errors.New("logserver: arena is closed")

// slab is 2 MiB of chunks of one size.
type slab struct {
	mem   []byte
	shift uint8    // log2 of the chunk size
	used  int      // chunks handed out
	next  int      // chunks from here on were never handed out
	free  []uint16 // those before next that came back
	pos   int      // index in arena.partial[shift-minShift], -1 if not there
}

// chunk is a piece of memory in a slab; the zero value is none.
type chunk struct {
	slab  *slab
	index uint16
	// stale is how many of its first bytes held client data when it was handed
	// out: its user knows no better than to wipe as many.
	stale uint32
}

func (c chunk) size() int { return 1 << c.slab.shift }

func (c chunk) bytes() []byte {
	off := int(c.index) << c.slab.shift
	end := off + c.size()
	return c.slab.mem[off:end:end]
}

type arena struct {
	mu      sync.Mutex // guards all below, and every slab's fields but mem and shift
	partial [classes][]*slab
	keep    int     // slabs that keep their memory while unused, if above keepSlabs
	warm    []*slab // unused, with memory, zeroed
	cold    []*slab // unused, without
	areas   [][]byte
	rest    []byte // of the newest area, not cut into slabs yet
	closed  bool
}

// classShift returns log2 of the smallest chunk that holds n bytes, or of the
// largest chunk.
func classShift(n int64) uint8 {
	if n <= minChunk {
		return minShift
	}
	return uint8(min(bits.Len64(uint64(n-1)), maxShift))
}

// alloc returns a zeroed chunk of 1<<shift bytes. It fails if the kernel has
// no more memory to map.
func (a *arena) alloc(shift uint8) (chunk, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return chunk{}, errArenaClosed
	}
	class := &a.partial[shift-minShift]
	if len(*class) == 0 {
		s, err := a.unusedSlab(shift)
		if err != nil {
			return chunk{}, err
		}
		*class = append(*class, s)
		s.pos = 0
	}
	s := (*class)[len(*class)-1]
	c := chunk{slab: s}
	if n := len(s.free); n > 0 {
		c.index = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		c.index = uint16(s.next)
		s.next++
	}
	s.used++
	if s.used == slabSize>>shift {
		*class = (*class)[:len(*class)-1]
		s.pos = -1
	}
	return c, nil
}

// release takes back chunks that the caller has wiped.
func (a *arena) release(chunks ...chunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	for _, c := range chunks {
		s := c.slab
		class := &a.partial[s.shift-minShift]
		s.used--
		s.free = append(s.free, c.index)
		if s.pos < 0 {
			s.pos = len(*class)
			*class = append(*class, s)
		}
		if s.used == 0 {
			last := len(*class) - 1
			moved := (*class)[last]
			(*class)[s.pos], moved.pos = moved, s.pos
			*class = (*class)[:last]
			a.retire(s)
		}
	}
}

// retire puts a slab that nobody uses where any size can have it.
func (a *arena) retire(s *slab) {
	s.next, s.free, s.pos = 0, nil, -1
	if len(a.warm) < max(a.keep, keepSlabs) {
		a.warm = append(a.warm, s)
		return
	}
	returnPages(s.mem)
	a.cold = append(a.cold, s)
}

func (a *arena) unusedSlab(shift uint8) (*slab, error) {
	var s *slab
	switch {
	case len(a.warm) > 0:
		s = pop(&a.warm)
	case len(a.cold) > 0:
		s = pop(&a.cold)
	default:
		if len(a.rest) == 0 {
			aligned, whole, err := mapPages(areaSize)
			if err != nil {
				return nil, err
			}
			a.areas = append(a.areas, whole)
			a.rest = aligned
		}
		s = &slab{mem: a.rest[:slabSize:slabSize], pos: -1}
		a.rest = a.rest[slabSize:]
	}
	huge := 1<<shift >= hugeFrom
	if s.shift == 0 || huge != (1<<s.shift >= hugeFrom) {
		preferHuge(s.mem, huge)
	}
	s.shift = shift
	return s, nil
}

func pop[T any](list *[]T) T {
	last := len(*list) - 1
	t := (*list)[last]
	*list = (*list)[:last]
	return t
}

// close unmaps everything. No chunk may be in use by another goroutine.
func (a *arena) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	var errs []error
	for _, area := range a.areas {
		errs = append(errs, unmapPages(area))
	}
	a.partial = [classes][]*slab{}
	a.warm, a.cold, a.areas, a.rest = nil, nil, nil, nil
	return errors.Join(errs...)
}
