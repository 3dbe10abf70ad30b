package journal

import (
	"sync/atomic"

	"github.com/ftnet/ftnet/internal/policy"
)

// Map is a server process's view of the journal. Its methods may be called
// concurrently.
type Map struct{ r region }

// Open maps the journal behind fd, which it does not keep or close. The
// mapping lasts as long as the process: records may be written after the
// engine is gone.
func Open(fd int) (*Map, error) {
	size, err := memorySize(fd)
	if err != nil {
		return nil, err
	}
	if size < superSize {
		return nil, errLayout
	}
	mem, err := mapMemory(fd, size)
	if err != nil {
		return nil, err
	}
	m, err := open(mem)
	if err != nil {
		unmapMemory(mem)
	}
	return m, err
}

func open(mem []byte) (*Map, error) {
	probe := region{mem: mem}
	s := probe.super()
	if s.magic != magic || s.version != version {
		return nil, errLayout
	}
	r, _, err := newRegion(mem, int(s.maxConns), int(s.maxPages))
	if err != nil || r.indexLen != s.indexLen {
		return nil, errLayout
	}
	return &Map{r: r}, nil
}

// Record is a server process's handle on the record of one connection.
//
// Reads are recorded by one goroutine at a time, output by one goroutine at a
// time; the two may run side by side. Other inputs are recorded by anyone. The other methods may be called at any
// time. Nothing may be called after Release.
type Record struct {
	r   *region
	h   *head
	gen uint32

	length bool
	reads  readState
	out    outputState
	inputs inputState
}

// Lookup returns the record of a connection that the kernel has handed out and
// that no process has accepted yet. It does not change the record.
func (m *Map) Lookup(f Flow) (*Record, bool) {
	i, word, ok := m.r.find(flowWords(f))
	if !ok {
		return nil, false
	}
	h := m.r.head(i)
	rec := &Record{r: &m.r, h: h, gen: wordGen(word)}
	return rec, true
}

// Accept takes the connection for this process. It returns false if the engine
// has ended it meanwhile or another process has it; the record must not be
// used then. A recovered connection keeps its place in the order of acceptance
// and the way of comparison that it was recorded with.
func (rec *Record) Accept(c policy.Compare) bool {
	h := rec.h
	first := atomic.LoadUint64(&h.acceptSeq) == 0
	if first {
		atomic.StoreUint64(&h.acceptSeq, atomic.AddUint64(&rec.r.super().accepts, 1))
	}
	if first && c == policy.CompareLength {
		atomic.OrUint32(&h.flags, flagLength)
	}
	if !atomic.CompareAndSwapUint64(&h.word, makeWord(rec.gen, Bound), makeWord(rec.gen, Accepted)) {
		return false
	}
	flags := atomic.LoadUint32(&h.flags)
	rec.length = flags&flagLength != 0
	rec.reads.init(rec.r, h, flags&flagOverflow != 0)
	rec.out.init(rec.r, h, rec.length, flags&flagOverflow != 0)
	return true
}

// Slot returns the engine's number of the connection, for the control protocol.
func (rec *Record) Slot() uint32 { return atomic.LoadUint32(&rec.h.slot) }

// Gen returns the generation of the slot, for the control protocol.
func (rec *Record) Gen() uint32 { return rec.gen }

// AcceptSeq returns the connection's place in the order of acceptance.
func (rec *Record) AcceptSeq() uint64 { return atomic.LoadUint64(&rec.h.acceptSeq) }

// Compare returns how the connection's output is compared.
func (rec *Record) Compare() policy.Compare {
	if rec.length {
		return policy.CompareLength
	}
	return policy.CompareStrict
}

// Recovered returns how often the connection has been recovered, this time
// included.
func (rec *Record) Recovered() int { return int(atomic.LoadUint32(&rec.h.recovered)) }

// Base returns where this execution begins, as the engine gave it to PrepareRecovery.
func (rec *Record) Base() Base {
	return Base{offset(atomic.LoadUint64(&rec.h.in)), offset(atomic.LoadUint64(&rec.h.out))}
}

// Bounds returns the other offsets that the engine gave PrepareRecovery.
func (rec *Record) Bounds() (una, left, stable int64) {
	return offset(atomic.LoadUint64(&rec.h.una)),
		offset(atomic.LoadUint64(&rec.h.left)),
		offset(atomic.LoadUint64(&rec.h.stable))
}

// Closing says that the application has called Close: a crash from here on
// must not bring the connection back.
func (rec *Record) Closing() {
	atomic.CompareAndSwapUint64(&rec.h.word, makeWord(rec.gen, Accepted), makeWord(rec.gen, Closing))
	// The engine may have ended it first, which says the same and more.
}

// Release says that this process will not touch the record again.
func (rec *Record) Release() {
	for {
		w := atomic.LoadUint64(&rec.h.word)
		if wordGen(w) != rec.gen || w&flagReleased != 0 {
			return
		}
		if atomic.CompareAndSwapUint64(&rec.h.word, w, w|flagReleased) {
			return
		}
	}
}

// Overflow marks the record as incomplete: the connection is unprotected from
// here on and nothing more is recorded. It is also called for a handler that
// goes around the record.
func (rec *Record) Overflow() { atomic.OrUint32(&rec.h.flags, flagOverflow) }

// Overflowed reports whether the record is incomplete.
func (rec *Record) Overflowed() bool { return atomic.LoadUint32(&rec.h.flags)&flagOverflow != 0 }
