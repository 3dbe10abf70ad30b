package journal

import "sync/atomic"

// alloc takes a page off the free list, or one never used before. It returns 0
// when there is none. A process that dies right after it loses the page until
// the engine sweeps.
func (r *region) alloc() uint32 {
	s := r.super()
	for {
		top := atomic.LoadUint64(&s.free)
		i := uint32(top)
		p := r.page(i)
		if p == nil {
			break
		}
		// next may already be another owner's; then the tag has changed too.
		next := atomic.LoadUint32(&p.next)
		if atomic.CompareAndSwapUint64(&s.free, top, (top>>32+1)<<32|uint64(next)) {
			atomic.StoreUint32(&p.next, 0)
			return i
		}
	}
	for {
		n := atomic.LoadUint32(&s.bump)
		if n >= r.maxPages {
			return 0
		}
		if atomic.CompareAndSwapUint32(&s.bump, n, n+1) {
			atomic.StoreUint32(&r.page(n+1).next, 0)
			return n + 1
		}
	}
}

// release puts a page on the free list.
func (r *region) release(i uint32) {
	p := r.page(i)
	if p == nil {
		return
	}
	s := r.super()
	for {
		top := atomic.LoadUint64(&s.free)
		atomic.StoreUint32(&p.next, uint32(top))
		if atomic.CompareAndSwapUint64(&s.free, top, (top>>32+1)<<32|uint64(i)) {
			return
		}
	}
}

// chain is a growing array of words: some inline, the rest in linked pages. It
// remembers the page it used last, so appending takes constant time.
type chain struct {
	r      *region
	inline []uint32
	first  *uint32
	no     uint32 // number of the page cur, counted from 0
	cur    uint32 // 0 = none yet
	inputs bool   // its pages count as those of inputs
}

// word returns the place of the i'th word, or nil if it does not exist. With
// grow, missing pages are allocated and linked; nil then means there are none
// left.
func (c *chain) word(i uint32, grow bool) *uint32 {
	if int64(i) < int64(len(c.inline)) {
		return &c.inline[i]
	}
	i -= uint32(len(c.inline))
	no := i / pageWords
	if c.cur == 0 || no < c.no {
		c.cur = c.follow(c.first, grow)
		c.no = 0
	}
	for c.cur != 0 && c.no < no {
		c.cur = c.follow(&c.r.page(c.cur).next, grow)
		c.no++
	}
	if c.cur == 0 {
		return nil
	}
	return &c.r.page(c.cur).words[i%pageWords]
}

// follow returns the page that link names, checked to exist, or 0.
func (c *chain) follow(link *uint32, grow bool) uint32 {
	i := atomic.LoadUint32(link)
	if i == 0 && grow {
		if i = c.alloc(); i != 0 {
			atomic.StoreUint32(link, i)
		}
	}
	if c.r.page(i) == nil {
		return 0
	}
	return i
}

func (c *chain) alloc() uint32 {
	if c.inputs {
		return c.r.allocInput()
	}
	return c.r.alloc()
}

// releaseChain gives a chain's pages back, and returns how many. The links are a server process's
// word: the walk ends after as many pages as exist, and soon if they lead in a
// circle (Brent's way of finding one), for all services wait for it.
func (r *region) releaseChain(first *uint32) (n uint32) {
	i := atomic.SwapUint32(first, 0)
	met, again := uint32(0), uint32(1) // a page of the way, and when to take a later one
	for ; n < r.maxPages; n++ {
		p := r.page(i)
		if p == nil || i == met {
			break
		}
		if n+1 == again {
			met, again = i, 2*again
		}
		next := atomic.LoadUint32(&p.next)
		r.release(i)
		i = next
	}
	return n
}

func (r *region) releasePages(h *head) {
	r.releaseChain(&h.readPage)
	r.releaseChain(&h.crcPage)
	r.releaseChain(&h.blockPage)
	r.releaseInputs(h)
}
