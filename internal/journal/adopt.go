package journal

import (
	"fmt"
	"sync/atomic"
)

// Adopt opens the memory of a dead engine's journal, which a server process has handed
// back, as a journal. The process may continue to record meanwhile. fd is not trusted:
// memory that is not a journal, is larger than one for maxConns and maxPages, or could
// shrink is refused. The journal duplicates fd.
//
// A process can have corrupted only its own records: for each of [Journal.Slots] the
// caller must check, by Head's flow and generation, whether it knows the connection, and
// withdraw the slot if not. [Journal.SkipReads] then says how much of it the log has. A
// change that the engine's death interrupted is undone or finished; pages that the engine
// had taken are found again by Sweep.
func Adopt(fd, maxConns, maxPages int) (*Journal, error) {
	own, mem, err := adoptMemory(fd)
	if err != nil {
		return nil, err
	}
	j, err := adopt(own, mem, maxConns, maxPages)
	if err != nil {
		_, _ = unmapMemory(mem), closeFd(own) // they were just made
		return nil, err
	}
	return j, nil
}

func adopt(fd int, mem []byte, maxConns, maxPages int) (*Journal, error) {
	m, err := open(mem)
	if err != nil {
		return nil, err
	}
	r := m.r
	if int64(r.maxConns) > int64(maxConns) || int64(r.maxPages) > int64(maxPages) {
		return nil, fmt.Errorf("journal: %d connections, %d pages: too large", r.maxConns, r.maxPages)
	}
	// The memory is sparse; heads that were never used are not to become real.
	end, err := dataEnd(fd, int64(r.heads), int64(r.pages))
	if err != nil {
		return nil, err
	}
	used := max(0, (end-int64(r.heads)+headSize-1)/headSize)
	j := &Journal{r: r, fd: fd, heads: make([]privateHead, used)}
	for i := range uint32(used) {
		j.adoptHead(i)
	}
	// An engine that died while it rebuilt the index has left an odd number.
	epoch := &r.super().epoch
	if atomic.LoadUint32(epoch)&1 == 0 {
		atomic.AddUint32(epoch, 1)
	}
	j.fill()
	atomic.AddUint32(epoch, 1)
	return j, nil
}

// adoptHead learns from a head what the engine before knew of it.
func (j *Journal) adoptHead(i uint32) {
	h, p := j.r.head(i), &j.heads[i]
	w := atomic.LoadUint64(&h.word)
	slot := atomic.LoadUint32(&h.slot)
	*p = privateHead{slot: slot, gen: wordGen(w), returned: readsEnd{bytes: offset(atomic.LoadUint64(&h.readsFrom))}}
	switch s := wordState(w); {
	case s == Free:
		j.freeHead(i)
	case s <= Closing && w&flagEnded == 0 && slot < maxSlot && j.headOf(slot) == nil:
		p.hash, p.live, p.indexed = j.r.hash(loadFlow(h)), true, true
		j.own(slot, i)
	case j.end(i):
		j.freeHead(i)
	default:
		j.zombies = append(j.zombies, i)
	}
}

// own notes the head of a slot.
func (j *Journal) own(slot, i uint32) {
	for int(slot) >= len(j.slots) {
		j.slots = append(j.slots, 0)
	}
	j.slots[slot] = i + 1
}

// Slots returns the slots that are published, in order.
func (j *Journal) Slots() []uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []uint32
	for slot, i := range j.slots {
		if i != 0 {
			list = append(list, uint32(slot))
		}
	}
	return list
}

// SkipReads makes NewReads begin after the reads of the slot's connection that
// the log has already: those below an offset. It returns ErrInconsistent if no read ends
// there.
func (j *Journal) SkipReads(slot uint32, bytes int64) error {
	var buf [256]uint32
	for {
		j.mu.Lock()
		i := j.headOf(slot)
		if i == nil {
			j.mu.Unlock()
			return ErrSlot
		}
		before := j.heads[*i].returned
		j.mu.Unlock()
		if before.bytes >= bytes {
			if before.bytes > bytes {
				return ErrInconsistent
			}
			return nil
		}
		lengths, total := j.NewReads(slot, buf[:0])
		if total <= bytes && len(lengths) > 0 {
			continue
		}
		// Read by read from where these began.
		if len(lengths) == 0 {
			return ErrInconsistent
		}
		n := 0
		for at := before.bytes; at < bytes; n++ {
			at += int64(lengths[n])
		}
		j.mu.Lock()
		j.heads[*i].returned = before
		j.mu.Unlock()
		j.NewReads(slot, make([]uint32, 0, n))
	}
}
