package journal

import (
	"hash/crc32"
	"sync"
	"sync/atomic"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// outputState appends to the output digest: a CRC32C word for each complete
// block of the stream, and the bytes of the incomplete one verbatim. head.end
// is what makes them count. Offsets count from base: there begins what is
// recorded.
type outputState struct {
	h      *head
	crcs   chain
	length bool
	full   bool
	base   uint64 // = head.base
	end    uint64 // = head.end - base
	rest   []byte // the incomplete block's bytes above inlineBytes, nil = no page yet

	// For Rollback, while a write is under way: where it began, and the bytes
	// of the block in which it began where the digest no longer holds them.
	start uint64
	saved *[BlockSize]byte
}

var savedPool = sync.Pool{New: func() any { return new([BlockSize]byte) }}

func crcChain(r *region, h *head) chain {
	return chain{r: r, inline: h.crcs[:], first: &h.crcPage}
}

func (s *outputState) init(r *region, h *head, length, overflow bool) {
	*s = outputState{h: h, crcs: crcChain(r, h), length: length, full: overflow}
	s.base, s.end = h.span()
	if p := r.page(atomic.LoadUint32(&h.blockPage)); p != nil {
		s.rest = p.bytes()
	}
}

// Intend records that p is about to be written at the end of the output so
// far. It must return before the kernel gets the bytes. It is followed by
// Commit or Rollback before the next Intend. It allocates nothing in the steady
// state and takes no system call.
func (rec *Record) Intend(p []byte) {
	s := &rec.out
	s.start = s.end
	if s.full || len(p) == 0 {
		return
	}
	if s.length {
		s.commit(s.end + uint64(len(p)))
		return
	}
	if !s.append(rec.r, p) {
		s.full = true
		rec.Overflow()
	}
}

// IntendLength is Intend for n bytes that this process does not see (sendfile).
// The connection must be compared by length.
func (rec *Record) IntendLength(n int64) {
	s := &rec.out
	s.start = s.end
	if !s.full {
		s.commit(s.end + uint64(n))
	}
}

func (s *outputState) commit(end uint64) {
	s.end = end
	atomic.StoreUint64(&s.h.end, s.base+end)
}

// span returns where the digest begins and how long it is.
func (h *head) span() (base, length uint64) {
	end := uint64(offset(atomic.LoadUint64(&h.end)))
	base = min(uint64(offset(atomic.LoadUint64(&h.base))), end)
	return base, end - base
}

// append records p at s.end. The words and bytes come first, then the end that
// makes them count; the end passes through the last block boundary before the
// bytes of the block in front of it are overwritten.
func (s *outputState) append(r *region, p []byte) bool {
	have := int(s.end % BlockSize)
	if have+len(p) < BlockSize {
		if !s.store(r, have, p) {
			return false
		}
		s.commit(s.end + uint64(len(p)))
		return true
	}
	no := s.end / BlockSize
	end := s.end + uint64(len(p))
	if have > 0 && end%BlockSize != 0 {
		s.saved = savedPool.Get().(*[BlockSize]byte)
		s.copyBlock(s.saved[:have])
	}
	crc := s.crcBlock(have)
	for n := BlockSize - have; len(p) >= n; n = BlockSize {
		crc = crc32.Update(crc, castagnoli, p[:n])
		p = p[n:]
		if no >= 1<<32-1 { // 4 TiB: words are numbered by 32 bits
			return false
		}
		w := s.crcs.word(uint32(no), true)
		if w == nil {
			return false
		}
		atomic.StoreUint32(w, crc)
		no++
		crc = 0
	}
	s.commit(no * BlockSize)
	if len(p) > 0 {
		if !s.store(r, 0, p) {
			return false
		}
		s.commit(end)
	}
	return true
}

// store puts p at the place at of the incomplete block.
func (s *outputState) store(r *region, at int, p []byte) bool {
	if at < inlineBytes {
		n := copy(s.h.block[at:], p)
		p, at = p[n:], at+n
	}
	if len(p) == 0 {
		return true
	}
	if s.rest == nil {
		i := r.alloc()
		if i == 0 {
			return false
		}
		atomic.StoreUint32(&s.h.blockPage, i)
		s.rest = r.page(i).bytes()
	}
	copy(s.rest[at-inlineBytes:], p)
	return true
}

// copyBlock copies the first len(to) bytes of the incomplete block.
func (s *outputState) copyBlock(to []byte) {
	n := copy(to, s.h.block[:])
	copy(to[n:], s.rest)
}

// crcBlock is the checksum of the first n bytes of the incomplete block.
func (s *outputState) crcBlock(n int) uint32 {
	crc := crc32.Update(0, castagnoli, s.h.block[:min(n, inlineBytes)])
	if n > inlineBytes {
		crc = crc32.Update(crc, castagnoli, s.rest[:n-inlineBytes])
	}
	return crc
}

// Commit says that the kernel took all that was intended.
func (rec *Record) Commit() { rec.out.drop() }

func (s *outputState) drop() {
	if s.saved != nil {
		savedPool.Put(s.saved)
		s.saved = nil
	}
}

// Rollback says that the kernel took only the first n bytes of p, which was
// given to Intend.
func (rec *Record) Rollback(p []byte, n int) {
	rec.rollback(p, int64(n))
}

// RollbackLength is Rollback after IntendLength.
func (rec *Record) RollbackLength(n int64) { rec.rollback(nil, n) }

func (rec *Record) rollback(p []byte, n int64) {
	s := &rec.out
	defer s.drop()
	end := s.start + uint64(n)
	if s.full || end >= s.end {
		return
	}
	block, top := end/BlockSize, s.end/BlockSize
	if !s.length && block < top && end%BlockSize != 0 {
		// The incomplete block is not the one in which the end will lie. Until
		// its bytes are back the end stands on the boundary above them.
		s.commit(top * BlockSize)
		var bytes [BlockSize]byte
		from := block * BlockSize
		fill := bytes[:end%BlockSize]
		if from < s.start {
			k := s.start - from // of the block's bytes came before p
			if s.saved != nil {
				copy(bytes[:k], s.saved[:k])
			} else {
				s.copyBlock(bytes[:k])
			}
			copy(fill[min(k, uint64(len(fill))):], p)
		} else {
			copy(fill, p[from-s.start:])
		}
		if !s.store(rec.r, 0, fill) {
			s.full = true
			rec.Overflow()
			return
		}
	}
	s.commit(end)
}

// Recorded returns the offset below which output is recorded.
func (rec *Record) Recorded() int64 { return int64(rec.out.base + rec.out.end) }
