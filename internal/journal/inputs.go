package journal

import (
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"sync/atomic"
)

// Kind says what a recorded input is. A replay skips kinds that it does not know.
type Kind uint8

const (
	// ReadTimeout: the deadline of a read had passed at In. No bytes.
	ReadTimeout Kind = 1 + iota
	// WriteTimeout: the deadline of a write had passed when its output had come to Out. No bytes.
	WriteTimeout
	// WritesForgotten: each WriteTimeout that was recorded before, with an Out not below a certain
	// one, counts no more, because the output there does not: see [Journal.PrepareRecovery]. Eight
	// bytes: that offset, big-endian.
	WritesForgotten
)

// Input is something that a handler took in and that its next execution needs again, other than
// what it read from the connection. A connection that has none needs no memory for them.
type Input struct {
	Kind  Kind
	Count int // how often, one after the other: 1 or more; 1 if there are bytes
	// In and Out are the place, as offsets in both streams: so much had the handler read and
	// written. Side by side with who records, the other side's may be older.
	In, Out int64
	Bytes   []byte // at most MaxInput
}

// Bounds of recorded inputs. All connections of a journal together may have half of its pages.
const (
	// MaxInput is the largest number of bytes of one input.
	MaxInput = 64 << 10
	// MaxInputs is how much memory one connection's inputs may take, in bytes. One without bytes
	// takes 12 to 28, also if it repeats itself at its place.
	MaxInputs = 256 << 10

	inputWords = MaxInputs / 4
)

var (
	// ErrInputTooLong is returned by RecordInput for more than MaxInput bytes.
	ErrInputTooLong = errors.New("journal: a recorded input has more than 64 KiB")
	// ErrInputs is returned by RecordInput when those of the connection would take more than
	// MaxInputs.
	ErrInputs = errors.New("journal: the connection's recorded inputs take more than 256 KiB")
	// ErrInputPages is returned by RecordInput when those of all connections would take more than
	// half of the journal's pages, or there is no page left.
	ErrInputPages = errors.New("journal: no page left for recorded inputs")
)

// The inputs are a chain of words without an inline part. The first word of the first page says
// how many words count, itself included. Each input has
//
//	count        the only word that changes later
//	kind | n<<8  n bytes follow, in as many words as they need
//	n bytes      In and Out as uvarints, Bytes

// inputState is what a process has of its connection's inputs.
type inputState struct {
	// For the place: where the record of reads begins, and what the execution repeats of it; nil: nothing.
	from  int64
	reads *Reads

	mu sync.Mutex // guards w and what it has
	w  *inputWriter
}

// inputWriter appends. There is none before the execution records something.
type inputWriter struct {
	words     chain
	committed *uint32 // the first word, nil = no page yet
	n         uint32  // what it says
	last      *uint32 // count of the newest input, nil if unknown or with bytes
	newest    Input
	summed    readsEnd // of the recorded reads, for the place
}

func inputChain(r *region, h *head) chain { return chain{r: r, first: &h.inputPage, inputs: true} }

func newInputWriter(r *region, h *head) *inputWriter {
	w := &inputWriter{words: inputChain(r, h)}
	w.committed, w.n = committedInputs(&w.words)
	return w
}

// committedInputs returns the first word, nil if there is none, and how many words count, at
// most inputWords.
func committedInputs(c *chain) (first *uint32, n uint32) {
	if first = c.word(0, false); first == nil {
		return nil, 0
	}
	return first, max(1, min(atomic.LoadUint32(first), inputWords))
}

// RecordInput appends an input at the place to which the execution has come. It must return before
// the application sees the input. A crash at any instruction leaves all of it or nothing. It takes
// no system call. If it returns an error (ErrInputTooLong, ErrInputs, ErrInputPages) nothing is
// recorded, and the caller decides by Overflow whether the record is incomplete.
func (rec *Record) RecordInput(k Kind, p []byte) error {
	if len(p) > MaxInput {
		return ErrInputTooLong
	}
	s := &rec.inputs
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		s.w = newInputWriter(rec.r, rec.h)
	}
	return s.w.append(&Input{Kind: k, Count: 1, In: rec.hasRead(), Out: rec.h.written(), Bytes: p})
}

func (s *inputWriter) append(in *Input) error {
	if s.again(in) {
		return nil
	}
	body := make([]byte, 0, 2*binary.MaxVarintLen64+len(in.Bytes)+3)
	body = binary.AppendUvarint(body, uint64(in.In))
	body = binary.AppendUvarint(body, uint64(in.Out))
	body = append(body, in.Bytes...)
	size := len(body)
	body = append(body, 0, 0, 0)[:(size+3)&^3]

	at := max(s.n, 1)
	n := 2 + uint32(len(body)/4)
	if at+n > inputWords {
		return ErrInputs
	}
	if s.committed == nil {
		if s.committed = s.words.word(0, true); s.committed == nil {
			return ErrInputPages
		}
	}
	var count *uint32
	for i := range n {
		w := s.words.word(at+i, true)
		if w == nil {
			return ErrInputPages
		}
		switch i {
		case 0:
			count = w
			atomic.StoreUint32(w, 1)
		case 1:
			atomic.StoreUint32(w, uint32(in.Kind)|uint32(size)<<8)
		default:
			atomic.StoreUint32(w, binary.NativeEndian.Uint32(body[4*(i-2):]))
		}
	}
	s.n = at + n
	atomic.StoreUint32(s.committed, s.n)
	if s.last = nil; len(in.Bytes) == 0 {
		s.last, s.newest = count, *in
	}
	return nil
}

// again counts an input that is the same as the newest.
func (s *inputWriter) again(in *Input) bool {
	if s.last == nil || len(in.Bytes) > 0 || s.newest.Count == math.MaxInt32 ||
		in.Kind != s.newest.Kind || in.In != s.newest.In || in.Out != s.newest.Out {
		return false
	}
	s.newest.Count++
	atomic.StoreUint32(s.last, uint32(s.newest.Count))
	return true
}

// hasRead returns how much the execution has read. Nothing counts that while it reads: the
// lengths are added up here. rec.inputs.mu is held.
func (rec *Record) hasRead() int64 {
	s := &rec.inputs
	if s.reads != nil {
		if at := s.reads.at.Load(); at != exhausted {
			return at
		}
	}
	s.w.summed.skip(rec.r, rec.h)
	return s.from + s.w.summed.bytes
}

// Inputs returns the inputs that have been recorded so far, by this execution and those before, in
// the order of recording.
func (rec *Record) Inputs() []Input { return rec.r.inputs(rec.h) }

// Inputs returns the recorded inputs of the slot's connection in the order of recording. It stops at
// the first that makes no sense. An unknown slot has none.
func (j *Journal) Inputs(slot uint32) []Input {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.headOf(slot)
	if i == nil {
		return nil
	}
	return j.r.inputs(j.r.head(*i))
}

func (r *region) inputs(h *head) (list []Input) {
	c := inputChain(r, h)
	_, n := committedInputs(&c)
	for at := uint32(1); at < n; {
		in, words, ok := readInput(&c, at, n)
		if !ok {
			break
		}
		list = append(list, in)
		at += words
	}
	return list
}

// readInput reads the input that begins with the word at, of n.
func readInput(c *chain, at, n uint32) (in Input, words uint32, ok bool) {
	load := func(i uint32) (v uint32) {
		w := c.word(at+i, false)
		if ok = w != nil; ok {
			v = atomic.LoadUint32(w)
		}
		return v
	}
	if n-at < 2 {
		return in, 0, false
	}
	count := load(0)
	if !ok || count == 0 || count > math.MaxInt32 {
		return in, 0, false
	}
	head := load(1)
	size := head >> 8
	if words = 2 + (size+3)/4; !ok || words > n-at {
		return in, 0, false
	}
	body := make([]byte, 0, 4*(words-2))
	for i := uint32(2); i < words; i++ {
		body = binary.NativeEndian.AppendUint32(body, load(i))
		if !ok {
			return in, 0, false
		}
	}
	body = body[:size]
	for _, place := range []*int64{&in.In, &in.Out} {
		v, k := binary.Uvarint(body)
		if k <= 0 {
			return in, 0, false
		}
		*place = offset(v)
		body = body[k:]
	}
	in.Kind, in.Count, in.Bytes = Kind(head), int(count), body
	return in, words, len(body) <= MaxInput
}

// allocInput is alloc for recorded inputs, which may have half of the pages. The page's first
// word is 0.
func (r *region) allocInput() uint32 {
	used := &r.super().inputPages
	if atomic.AddUint32(used, 1) <= r.maxPages/2 {
		if i := r.alloc(); i != 0 {
			atomic.StoreUint32(&r.page(i).words[0], 0)
			return i
		}
	}
	atomic.AddUint32(used, ^uint32(0))
	return 0
}

func (r *region) releaseInputs(h *head) {
	if n := r.releaseChain(&h.inputPage); n > 0 {
		atomic.AddUint32(&r.super().inputPages, -n)
	}
}
