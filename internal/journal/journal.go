package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

var (
	// ErrFull is returned by Publish when every head is in use.
	ErrFull = errors.New("journal: full")
	// ErrSlot is returned when the slot is not published, or is already.
	ErrSlot = errors.New("journal: no such slot")
	// ErrOverflow is returned by PrepareRecovery when the record is
	// incomplete because the journal had run out of pages, or the handler
	// went around it.
	ErrOverflow = errors.New("journal: record incomplete")
	// ErrInconsistent is returned by PrepareRecovery when the record cannot
	// belong to what the engine saw of the connection, for instance when the
	// process wrote output without recording it.
	ErrInconsistent = errors.New("journal: record does not fit the connection")
)

// Journal is the engine's side. Its methods may be called concurrently; none
// blocks on a server process.
type Journal struct {
	r  region
	fd int

	mu sync.Mutex // guards what follows and all engine-side writes
	// heads is what the engine knows about each head it has used; the shared
	// memory is never asked for it.
	heads    []privateHead
	free     []uint32 // heads not in use
	zombies  []uint32 // withdrawn heads that a server process may still touch
	slots    []uint32 // engine slot -> head+1
	entries  uint32   // of the index
	removed  uint32
	sweepMap []uint64
}

type privateHead struct {
	slot, gen uint32
	hash, at  uint32 // of the index entry, if indexed
	indexed   bool
	live      bool     // published and not withdrawn
	returned  readsEnd // by NewReads
}

// maxSlot bounds the engine's own numbering, for the table from slots to heads.
const maxSlot = 1 << 24

// Create makes a journal for maxConns connections (1..2²⁴) and maxPages pages
// of 1 KiB (0..2³⁰). The memory is sparse: what is never used costs nothing.
func Create(maxConns, maxPages int) (*Journal, error) {
	_, size, err := newRegion(nil, maxConns, maxPages)
	if err != nil {
		return nil, fmt.Errorf("journal: %d connections, %d pages: out of range", maxConns, maxPages)
	}
	fd, mem, err := createMemory(size)
	if err != nil {
		return nil, err
	}
	return create(fd, mem, maxConns, maxPages)
}

func create(fd int, mem []byte, maxConns, maxPages int) (*Journal, error) {
	r, _, err := newRegion(mem, maxConns, maxPages)
	if err != nil {
		return nil, err
	}
	var seed [8]byte
	rand.Read(seed[:])
	s := r.super()
	s.seed = binary.NativeEndian.Uint64(seed[:])
	s.maxConns, s.maxPages, s.indexLen = r.maxConns, r.maxPages, r.indexLen
	s.version = version
	s.magic = magic
	return &Journal{r: r, fd: fd}, nil
}

// Fd returns the memfd that a server process maps. It stays the journal's.
func (j *Journal) Fd() int { return j.fd }

// Close unmaps the journal and closes its descriptor. No method may be called
// after it; a server process that has mapped it keeps its mapping.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.r.mem == nil {
		return nil
	}
	mem := j.r.mem
	j.r.mem = nil
	return errors.Join(unmapMemory(mem), closeFd(j.fd))
}

// Publish makes the connection in the engine's slot known to server processes.
// It must return before the kernel can hand the connection to Accept, that is,
// before the SYN-ACK leaves. It returns ErrSlot if the slot is in use or not
// below 2²⁴, and ErrFull if there is no head: the connection then works
// unprotected.
func (j *Journal) Publish(slot, gen uint32, f Flow) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, err := j.claim(slot)
	if err != nil {
		return err
	}
	j.publish(i, slot, gen, f)
	return nil
}

// claim takes a head for a slot and empties it. j.mu is held.
func (j *Journal) claim(slot uint32) (uint32, error) {
	if slot >= maxSlot || j.headOf(slot) != nil {
		return 0, ErrSlot
	}
	j.reap(4)
	i, ok := j.takeHead()
	if !ok {
		if j.reap(len(j.zombies)); len(j.free) == 0 {
			return 0, ErrFull
		}
		i, _ = j.takeHead()
	}
	resetHead(j.r.head(i))
	return i, nil
}

// publish makes what a claimed head says count. j.mu is held.
func (j *Journal) publish(i, slot, gen uint32, f Flow) {
	h, w := j.r.head(i), flowWords(f)
	storeFlow(h, w)
	atomic.StoreUint32(&h.slot, slot)
	atomic.StoreUint64(&h.word, makeWord(gen, Bound))

	p := &j.heads[i]
	*p = privateHead{slot: slot, gen: gen, hash: j.r.hash(w), live: true}
	p.at = j.insert(p.hash, i)
	p.indexed = true
	j.own(slot, i)
}

func (j *Journal) takeHead() (uint32, bool) {
	if n := len(j.free); n > 0 {
		i := j.free[n-1]
		j.free = j.free[:n-1]
		return i, true
	}
	if len(j.heads) == int(j.r.maxConns) {
		return 0, false
	}
	j.heads = append(j.heads, privateHead{})
	return uint32(len(j.heads) - 1), true
}

// resetHead clears everything but the incomplete block's bytes, which do not
// count while end is 0. The word is FREE already, or about to be set.
func resetHead(h *head) {
	atomic.StoreUint64(&h.word, 0)
	for _, w := range []*uint64{&h.acceptSeq, &h.una, &h.left, &h.stable, &h.end, &h.base, &h.replayed, &h.in, &h.out, &h.readsFrom} {
		atomic.StoreUint64(w, 0)
	}
	for _, w := range []*uint32{&h.slot, &h.flags, &h.recovered, &h.readWords, &h.readPage, &h.crcPage, &h.blockPage, &h.inputPage} {
		atomic.StoreUint32(w, 0)
	}
}

// headOf returns the number of the slot's head, or nil. j.mu is held.
func (j *Journal) headOf(slot uint32) *uint32 {
	if int64(slot) >= int64(len(j.slots)) || j.slots[slot] == 0 {
		return nil
	}
	i := j.slots[slot] - 1
	return &i
}

// Withdraw ends the slot's connection: new lookups miss it, and its pages are
// freed. If a server process may still append to the record the memory is
// kept until that process has closed the connection; the slot can be published
// again at once in any case. An unknown slot is ignored.
func (j *Journal) Withdraw(slot uint32) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := j.headOf(slot)
	if i == nil {
		return
	}
	j.slots[slot] = 0
	p := &j.heads[*i]
	p.live = false
	j.unindex(p)
	if j.end(*i) {
		j.freeHead(*i)
	} else {
		j.zombies = append(j.zombies, *i)
	}
	j.reap(4)
}

func (j *Journal) unindex(p *privateHead) {
	if p.indexed {
		p.indexed = false
		j.remove(p.at)
	}
}

// end marks a head as ended and reports whether no process can touch it.
func (j *Journal) end(i uint32) bool {
	h := j.r.head(i)
	for range 1000 { // a process that changes the word all the time loses its say
		w := atomic.LoadUint64(&h.word)
		if wordState(w) == Bound || wordState(w) == Free || w&flagReleased != 0 {
			// An Accept that comes now fails to swap the word.
			if atomic.CompareAndSwapUint64(&h.word, w, makeWord(j.heads[i].gen, Free)) {
				return true
			}
			continue
		}
		if w&flagEnded != 0 || atomic.CompareAndSwapUint64(&h.word, w, w|flagEnded) {
			return false
		}
	}
	return false
}

func (j *Journal) freeHead(i uint32) {
	h := j.r.head(i)
	atomic.StoreUint64(&h.word, makeWord(j.heads[i].gen, Free))
	j.r.releasePages(h)
	j.free = append(j.free, i)
}

// reap looks at up to n put-off heads, oldest first, and frees what their
// process has released since.
func (j *Journal) reap(n int) {
	for range min(n, len(j.zombies)) {
		i := j.zombies[0]
		j.zombies = j.zombies[1:]
		if atomic.LoadUint64(&j.r.head(i).word)&flagReleased != 0 {
			j.freeHead(i)
		} else {
			j.zombies = append(j.zombies, i)
		}
	}
}
