package journal

import (
	"math/bits"
	"runtime"
	"sync/atomic"
)

// The index leads from a flow to its head: open addressing with linear
// probing over words of hash<<32 | head+1. Only the engine writes it, one
// atomic store at a time, so a reader needs no lock; the flow itself is
// compared in the head. Eight bytes an entry, not the whole flow, keep the
// memory of an idle connection small.
const (
	entryEmpty   = 0
	entryRemoved = 0xffffffff // low half of a removed entry
)

func (r *region) hash(w [5]uint64) uint32 {
	h := r.super().seed
	for _, v := range w {
		hi, lo := bits.Mul64(h^v^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
		h = hi ^ lo
	}
	return uint32(h) ^ uint32(h>>32)
}

// find returns the head that is bound for the flow.
func (r *region) find(w [5]uint64) (i uint32, word uint64, ok bool) {
	hash := r.hash(w)
	// A rebuild moves entries about: a miss during one proves nothing. It
	// takes microseconds; if the engine died in it the connection is treated
	// as unknown.
	for range 1000 {
		epoch := atomic.LoadUint32(&r.super().epoch)
		if i, word, ok = r.probe(hash, w); ok {
			return i, word, true
		}
		if epoch&1 == 0 && atomic.LoadUint32(&r.super().epoch) == epoch {
			return 0, 0, false
		}
		runtime.Gosched()
	}
	return 0, 0, false
}

func (r *region) probe(hash uint32, w [5]uint64) (uint32, uint64, bool) {
	for n := range r.indexLen {
		e := atomic.LoadUint64(r.entry(hash + n))
		if e == entryEmpty {
			break
		}
		if uint32(e>>32) != hash || uint32(e) == entryRemoved {
			continue
		}
		i := uint32(e) - 1
		h := r.head(i)
		if h == nil {
			continue
		}
		// The engine changes the word before and after it rewrites the flow.
		word := atomic.LoadUint64(&h.word)
		if wordState(word) != Bound || loadFlow(h) != w || atomic.LoadUint64(&h.word) != word {
			continue
		}
		return i, word, true
	}
	return 0, 0, false
}

func loadFlow(h *head) (w [5]uint64) {
	for i := range w {
		w[i] = atomic.LoadUint64(&h.flow[i])
	}
	return w
}

func storeFlow(h *head, w [5]uint64) {
	for i := range w {
		atomic.StoreUint64(&h.flow[i], w[i])
	}
}

// insert adds an entry and returns its place. The table is at least twice as
// large as the number of heads, so there is room.
func (j *Journal) insert(hash, head uint32) uint32 {
	if j.entries+j.removed > j.r.indexLen/4*3 {
		j.rebuild()
	}
	return j.place(hash, head)
}

func (j *Journal) place(hash, head uint32) uint32 {
	for n := range j.r.indexLen {
		at := (hash + n) & (j.r.indexLen - 1)
		if j.taken(at) {
			continue
		}
		if uint32(atomic.LoadUint64(j.r.entry(at))) == entryRemoved && j.removed > 0 {
			j.removed--
		}
		atomic.StoreUint64(j.r.entry(at), uint64(hash)<<32|uint64(head+1))
		j.entries++
		return at
	}
	panic("journal: index full") // entries <= heads <= indexLen/2
}

// taken judges by the engine's own table: the shared word may say anything.
func (j *Journal) taken(at uint32) bool {
	e := uint32(atomic.LoadUint64(j.r.entry(at)))
	if e == entryEmpty || e == entryRemoved {
		return false
	}
	i := e - 1
	return i < uint32(len(j.heads)) && j.heads[i].indexed && j.heads[i].at == at
}

// remove takes an entry out. Removed entries at the end of a run are emptied
// again, so that runs do not only grow.
func (j *Journal) remove(at uint32) {
	j.entries--
	if atomic.LoadUint64(j.r.entry(at+1)) != entryEmpty {
		atomic.StoreUint64(j.r.entry(at), entryRemoved)
		j.removed++
		return
	}
	atomic.StoreUint64(j.r.entry(at), entryEmpty)
	for n := uint32(1); n < j.r.indexLen; n++ {
		e := j.r.entry(at - n)
		if uint32(atomic.LoadUint64(e)) != entryRemoved {
			return
		}
		atomic.StoreUint64(e, entryEmpty)
		if j.removed > 0 {
			j.removed--
		}
	}
}

// rebuild writes the index afresh without removed entries.
func (j *Journal) rebuild() {
	atomic.AddUint32(&j.r.super().epoch, 1)
	j.fill()
	atomic.AddUint32(&j.r.super().epoch, 1)
}

func (j *Journal) fill() {
	for at := range j.r.indexLen {
		if atomic.LoadUint64(j.r.entry(at)) != entryEmpty {
			atomic.StoreUint64(j.r.entry(at), entryEmpty)
		}
	}
	j.entries, j.removed = 0, 0
	for i := range j.heads {
		if h := &j.heads[i]; h.indexed {
			h.at = j.place(h.hash, uint32(i))
		}
	}
}
