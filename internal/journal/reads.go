package journal

import "sync/atomic"

// readState appends to the read record: words of length<<12 | count-1, each
// standing for count successive reads of the same length.
type readState struct {
	h        *head
	words    chain
	n        uint32  // committed words
	last     *uint32 // the newest of them, nil if unknown
	lastWord uint32
	full     bool
}

func readWord(w uint32) (length, count int) {
	return int(w >> 12), int(w&(maxRunLength-1)) + 1
}

func readChain(r *region, h *head) chain {
	return chain{r: r, inline: h.reads[:], first: &h.readPage}
}

func (s *readState) init(r *region, h *head, overflow bool) {
	*s = readState{h: h, words: readChain(r, h), n: boundWords(r, atomic.LoadUint32(&h.readWords)), full: overflow}
}

// RecordRead appends the length of one read, 1..MaxRead bytes. It must be
// called before the application sees the bytes. It allocates nothing and takes
// no system call.
func (rec *Record) RecordRead(n int) {
	s := &rec.reads
	if s.full || n <= 0 {
		return
	}
	if n > MaxRead {
		s.full = true
		rec.Overflow()
		return
	}
	if s.last != nil && int(s.lastWord>>12) == n && s.lastWord&(maxRunLength-1) != maxRunLength-1 {
		s.lastWord++
		atomic.StoreUint32(s.last, s.lastWord)
		return
	}
	w := s.words.word(s.n, true)
	if w == nil {
		s.full = true
		rec.Overflow()
		return
	}
	s.last, s.lastWord = w, uint32(n)<<12
	atomic.StoreUint32(w, s.lastWord)
	s.n++
	atomic.StoreUint32(&s.h.readWords, s.n)
}

// Reads walks the read record of the execution before. It sees the words that
// were committed when it was made, not those appended later.
type Reads struct {
	words    chain
	i, n     uint32
	length   int
	count    int // reads of that length still to come, the present one included
	consumed int // of the present one

	pos int64
	at  atomic.Int64 // = pos, for others to see; exhausted
}

// exhausted in Reads.at: the handler reads what was not recorded before.
const exhausted = -1

// Reads returns the lengths of the reads recorded so far, for a handler that begins to read at
// the offset from, which is not below the first recorded one: the read in which it lies is shortened. It is
// made before any input is recorded.
func (rec *Record) Reads(from int64) *Reads {
	begin := offset(atomic.LoadUint64(&rec.h.readsFrom))
	r := &Reads{words: readChain(rec.r, rec.h), n: rec.reads.n, pos: begin}
	r.at.Store(begin)
	r.next()
	for r.pos < from && r.Left() > 0 {
		r.Consume(int(min(from-r.pos, int64(r.Left()))))
	}
	r.pos = from
	rec.inputs.from, rec.inputs.reads = begin, r
	return r
}

func (r *Reads) next() {
	if r.count--; r.count > 0 {
		return
	}
	r.length, r.count = 0, 0
	if r.i < r.n {
		w := r.words.word(r.i, false)
		r.i++
		if w != nil {
			r.length, r.count = readWord(atomic.LoadUint32(w))
		}
	}
	if r.length == 0 {
		r.count, r.n = 0, 0
		r.at.Store(exhausted)
	}
}

// Left returns how many bytes of the present read are still to be handed out,
// or 0 when the record is exhausted.
func (r *Reads) Left() int {
	if r.count <= 0 {
		return 0
	}
	return r.length - r.consumed
}

// Consume takes n bytes, at most Left, from the present read.
func (r *Reads) Consume(n int) {
	r.pos += int64(n)
	r.at.Store(r.pos)
	if r.consumed += n; r.consumed >= r.length {
		r.consumed = 0
		r.next()
	}
}
