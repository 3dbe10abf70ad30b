package journal

import (
	"iter"
	"sync/atomic"

	"github.com/ftnet/ftnet/internal/policy"
)

// Head is a snapshot of one connection's record. Everything in it but Slot was
// written by, or could have been changed by, the server process.
type Head struct {
	Slot, Gen   uint32
	State       State
	Released    bool // the process will not append any more
	Flow        Flow
	AcceptSeq   uint64 // order of acceptance, from 1; 0 = not accepted yet
	Recovered   uint32 // how often PrepareRecovery was called
	Written     int64  // bytes that the present execution has written
	Recorded    int64  // bytes that the output digest covers, >= Written
	ReadRecords int    // words of the read record
	Overflow    bool   // the record is incomplete: the connection is unprotected
	Compare     policy.Compare
}

// Head returns a snapshot of the slot's record.
func (j *Journal) Head(slot uint32) (Head, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.headOf(slot)
	if i == nil {
		return Head{}, false
	}
	h := j.r.head(*i)
	w := atomic.LoadUint64(&h.word)
	flags := atomic.LoadUint32(&h.flags)
	s := Head{
		Slot: slot, Gen: j.heads[*i].gen,
		State: wordState(w), Released: w&flagReleased != 0,
		Flow:        wordsFlow(loadFlow(h)),
		AcceptSeq:   atomic.LoadUint64(&h.acceptSeq),
		Recovered:   atomic.LoadUint32(&h.recovered),
		Recorded:    offset(atomic.LoadUint64(&h.end)),
		ReadRecords: int(j.boundWords(atomic.LoadUint32(&h.readWords))),
		Overflow:    flags&flagOverflow != 0,
	}
	if flags&flagLength != 0 {
		s.Compare = policy.CompareLength
	}
	s.Written = h.written()
	return s, true
}

// written returns how far the output of the present execution has come.
func (h *head) written() int64 {
	end := offset(atomic.LoadUint64(&h.end))
	if atomic.LoadUint32(&h.recovered) == 0 {
		return end
	}
	return min(offset(atomic.LoadUint64(&h.replayed)), end)
}

// offset turns a word into a stream offset that arithmetic cannot overflow.
func offset(w uint64) int64 { return int64(min(w, 1<<62)) }

// boundWords is the longest chain of words that can exist.
func (j *Journal) boundWords(n uint32) uint32 { return boundWords(&j.r, n) }

func boundWords(r *region, n uint32) uint32 {
	return uint32(min(uint64(n), uint64(r.maxPages)*pageWords+inlineReads))
}

// ReadLengths returns the lengths of the process's reads in order as pairs of
// a length in bytes and how often it occurs in a row. It stops at the first
// word that makes no sense.
func (j *Journal) ReadLengths(slot uint32) iter.Seq2[int, int] {
	return func(yield func(length, count int) bool) {
		j.mu.Lock()
		i := j.headOf(slot)
		var words []uint32
		if i != nil {
			h := j.r.head(*i)
			n := boundWords(&j.r, atomic.LoadUint32(&h.readWords))
			c := readChain(&j.r, h)
			for k := range n {
				w := c.word(k, false)
				if w == nil {
					break
				}
				words = append(words, atomic.LoadUint32(w))
			}
		}
		j.mu.Unlock()
		for _, w := range words {
			length, count := readWord(w)
			if length == 0 || !yield(length, count) {
				return
			}
		}
	}
}

// Usage is how much of the journal is in use.
type Usage struct {
	Conns   int   // published connections
	PutOff  int   // withdrawn ones that a process has not released yet
	Pages   int   // pages ever used, of 1 KiB
	Memory  int64 // bytes of heads and pages ever used
	MaxConn int
	MaxPage int
}

// Usage returns how much of the journal is in use.
func (j *Journal) Usage() Usage {
	j.mu.Lock()
	defer j.mu.Unlock()
	pages := int(min(atomic.LoadUint32(&j.r.super().bump), j.r.maxPages))
	return Usage{
		Conns:   len(j.heads) - len(j.free) - len(j.zombies),
		PutOff:  len(j.zombies),
		Pages:   pages,
		Memory:  int64(len(j.heads))*headSize + int64(pages)*pageSize,
		MaxConn: int(j.r.maxConns),
		MaxPage: int(j.r.maxPages),
	}
}
