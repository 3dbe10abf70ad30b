package journal

import "sync/atomic"

// Base is where an execution begins in the two streams, as offsets in bytes: at the beginning, or
// where the log begins if it has forgotten what comes before.
type Base struct{ In, Out int64 }

// PrepareRecovery makes the slot's record ready for the next server process,
// after the one that wrote it has died. All offsets are in bytes of their
// streams, 0 being the first byte after the SYN.
//
//	b       the next execution begins to read at b.In, and to write at b.Out
//	una     the client has acknowledged output below it; b.Out <= una
//	left    no output at or above it has left the host; una <= left
//	stable  the log holds the input from b.In to it; the new kernel socket
//	        delivers what follows
//
// A record that begins before b stays as it is, for b may not be stable yet when the engine dies: what
// lies before b is passed over. One that begins after b in the input does not fit. Nor does one of which
// the output from b.Out on could not be compared: b.Out has to lie where one of its blocks ends, in its
// incomplete block, or before it begins.
//
// The state goes back to BOUND, the order of acceptance stays. Output recorded
// above left is forgotten as far as the digest allows: exactly in the
// incomplete block, else to the end of the block in which left lies, which
// the next execution must then repeat whole.
//
// It returns ErrSlot, ErrOverflow or ErrInconsistent; the connection cannot be
// recovered then and must be reset. It may be called any number of times.
func (j *Journal) PrepareRecovery(slot uint32, b Base, una, left, stable int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.headOf(slot)
	if i == nil {
		return ErrSlot
	}
	h := j.r.head(*i)
	flags := atomic.LoadUint32(&h.flags)
	if flags&flagOverflow != 0 {
		return ErrOverflow
	}
	end := offset(atomic.LoadUint64(&h.end))
	base := min(offset(atomic.LoadUint64(&h.base)), end)
	if flags&flagRestored != 0 && left > end {
		// The process before the restored one had sent more than was known.
		base, end = left, left
		atomic.StoreUint64(&h.base, uint64(base))
	}
	if b.Out < 0 || b.Out > una || una > left || left > end || left < base ||
		b.In > stable || b.In < offset(atomic.LoadUint64(&h.readsFrom)) {
		return ErrInconsistent
	}
	if flags&flagLength != 0 || (left-base)/BlockSize == (end-base)/BlockSize {
		end = left
	} else {
		end = base + (left-base+BlockSize-1)/BlockSize*BlockSize
	}
	if off := b.Out - base; flags&flagLength == 0 && off > 0 && off%BlockSize != 0 && off/BlockSize != (end-base)/BlockSize {
		return ErrInconsistent // in the middle of a block of which only the checksum is known
	}
	p := &j.heads[*i]
	atomic.StoreUint64(&h.end, uint64(end))
	atomic.StoreUint64(&h.replayed, uint64(b.Out))
	atomic.StoreUint64(&h.in, uint64(b.In))
	atomic.StoreUint64(&h.out, uint64(b.Out))
	atomic.StoreUint64(&h.una, uint64(una))
	atomic.StoreUint64(&h.left, uint64(left))
	atomic.StoreUint64(&h.stable, uint64(stable))
	atomic.AddUint32(&h.recovered, 1)
	atomic.StoreUint64(&h.word, makeWord(p.gen, Bound))
	if !p.indexed {
		p.at = j.insert(p.hash, *i)
		p.indexed = true
	}
	return nil
}

// Sweep is called after a crash, while no server process is running: it frees
// what dead processes had not released and rebuilds the list of free pages
// from what the published heads reach. It takes time in proportion to the
// published connections and the pages ever used. Links that make no sense, or
// lead to a page that another record owns, are cut; the record that had them
// counts as overflowed.
func (j *Journal) Sweep() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, i := range j.zombies {
		h := j.r.head(i)
		atomic.StoreUint64(&h.word, makeWord(j.heads[i].gen, Free))
		j.free = append(j.free, i)
	}
	j.zombies = j.zombies[:0]

	if j.sweepMap == nil {
		j.sweepMap = make([]uint64, j.r.maxPages/64+1)
	}
	clear(j.sweepMap)
	highest, inputs := uint32(0), uint32(0)
	for i := range j.heads {
		if !j.heads[i].live {
			continue
		}
		h := j.r.head(uint32(i))
		// Nobody is left to release it.
		if w := atomic.LoadUint64(&h.word); wordState(w) == Accepted || wordState(w) == Closing {
			atomic.StoreUint64(&h.word, w|flagReleased)
		}
		for _, first := range []*uint32{&h.readPage, &h.crcPage, &h.blockPage, &h.inputPage} {
			n, sound := j.mark(first, &highest)
			if !sound {
				atomic.OrUint32(&h.flags, flagOverflow)
			}
			if first == &h.inputPage {
				inputs += n
			}
		}
	}

	s := j.r.super()
	bump := max(min(atomic.LoadUint32(&s.bump), j.r.maxPages), highest)
	next := uint32(0)
	for i := bump; i > 0; i-- { // low numbers first out: the memory stays compact
		if j.sweepMap[i/64]&(1<<(i%64)) == 0 {
			atomic.StoreUint32(&j.r.page(i).next, next)
			next = i
		}
	}
	atomic.StoreUint32(&s.bump, bump)
	atomic.StoreUint32(&s.inputPages, inputs)
	atomic.StoreUint64(&s.free, (atomic.LoadUint64(&s.free)>>32+1)<<32|uint64(next))
}

// mark walks a chain and returns of how many pages it is, and whether all of it was sound. No
// page is visited twice, so the walk ends.
func (j *Journal) mark(link *uint32, highest *uint32) (n uint32, sound bool) {
	for {
		i := atomic.LoadUint32(link)
		if i == 0 {
			return n, true
		}
		p := j.r.page(i)
		if p == nil || j.sweepMap[i/64]&(1<<(i%64)) != 0 {
			atomic.StoreUint32(link, 0)
			return n, false
		}
		j.sweepMap[i/64] |= 1 << (i % 64)
		*highest = max(*highest, i)
		link = &p.next
		n++
	}
}
