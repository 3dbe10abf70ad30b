package journal

import "sync/atomic"

// ReadRun is Count reads of Length bytes each, one after the other.
type ReadRun struct{ Length, Count uint32 }

// Restore is Publish for a connection whose record was lost with the engine that kept it.
// reads are its known reads, of which the first begins at the offset from; its output is
// not known. PrepareRecovery then begins the digest at the first byte that has not left
// yet: what a restarted handler writes before that is counted and not compared.
// Besides Publish's errors it returns ErrOverflow if the reads cannot be recorded.
func (j *Journal) Restore(slot, gen uint32, f Flow, from int64, reads []ReadRun) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, err := j.claim(slot)
	if err != nil {
		return err
	}
	h := j.r.head(i)
	returned := readsEnd{bytes: from}
	words := readChain(&j.r, h)
	n := uint32(0)
	for _, r := range reads {
		for left := r.Count; left > 0; {
			count := min(left, maxRunLength)
			w := words.word(n, true)
			if w == nil || r.Length == 0 || r.Length > MaxRead {
				j.freeHead(i)
				return ErrOverflow
			}
			atomic.StoreUint32(w, r.Length<<12|(count-1))
			returned = readsEnd{word: n, count: count, bytes: returned.bytes + int64(r.Length)*int64(count)}
			left -= count
			n++
		}
	}
	atomic.StoreUint64(&h.readsFrom, uint64(from))
	atomic.StoreUint32(&h.readWords, n)
	atomic.StoreUint32(&h.flags, flagRestored)
	j.publish(i, slot, gen, f)
	j.heads[i].returned = returned
	return nil
}

// readsEnd is how far NewReads has come with a connection.
type readsEnd struct {
	word, count uint32 // number of a word, and how many of its reads were returned
	bytes       int64  // offset where the last read that was returned ends
	no, cur     uint32 // of the chain, which need not be walked again
}

// skip goes to the newest recorded read.
func (t *readsEnd) skip(r *region, h *head) {
	words := readChain(r, h)
	words.no, words.cur = t.no, t.cur
	for n := boundWords(r, atomic.LoadUint32(&h.readWords)); t.word < n; t.word, t.count = t.word+1, 0 {
		w := words.word(t.word, false)
		if w == nil {
			break
		}
		length, count := readWord(atomic.LoadUint32(w))
		t.bytes += int64(length) * (int64(count) - int64(t.count))
		if t.count = uint32(count); t.word+1 == n {
			break
		}
	}
	t.no, t.cur = words.no, words.cur
}

// NewReads appends to buf, as far as its capacity goes, the lengths of the reads
// that were recorded since the last call, in order. total is the offset where the last
// of those returned so far ends, including those given to Restore. An unknown slot has
// none.
func (j *Journal) NewReads(slot uint32, buf []uint32) (lengths []uint32, total int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.headOf(slot)
	if i == nil {
		return buf, 0
	}
	h, t := j.r.head(*i), &j.heads[*i].returned
	words := readChain(&j.r, h)
	words.no, words.cur = t.no, t.cur
	for n := j.boundWords(atomic.LoadUint32(&h.readWords)); t.word < n; {
		w := words.word(t.word, false)
		if w == nil {
			break
		}
		length, count := readWord(atomic.LoadUint32(w))
		if length == 0 {
			break
		}
		for t.count < uint32(count) && len(buf) < cap(buf) {
			buf = append(buf, uint32(length))
			t.count++
			t.bytes += int64(length)
		}
		// The process adds to its last word only.
		if t.count < uint32(count) || t.word+1 == n {
			break
		}
		t.word, t.count = t.word+1, 0
	}
	t.no, t.cur = words.no, words.cur
	return buf, t.bytes
}
