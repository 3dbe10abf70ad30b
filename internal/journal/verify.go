package journal

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"sync/atomic"
)

// Mismatch says where a replayed output differs from the recorded one.
type Mismatch struct {
	// Offset is where the first difference lies, or, if End is greater than
	// Offset+1, where the block begins in which it lies.
	Offset, End int64
}

// Exact reports whether Offset is the first differing byte itself.
func (m *Mismatch) Exact() bool { return m.End == m.Offset+1 }

func (m *Mismatch) Error() string {
	if m.Exact() {
		return fmt.Sprintf("output differs at offset %d", m.Offset)
	}
	return fmt.Sprintf("output differs in block [%d,%d)", m.Offset, m.End)
}

// Verifier checks the output of a restarted handler against the record of the
// execution before it, from where the handler begins to write to the record's end.
// Complete blocks are known by their checksum, the last one byte for byte. What lies
// before the record begins, see [Journal.Restore], is not known: it is only counted.
type Verifier struct {
	h      *head
	crcs   chain
	length bool
	base   int64 // the blocks count from here
	end    int64
	pos    int64
	crc    uint32
	last   []byte // the incomplete block
}

// Verifier returns a verifier for the output recorded so far, for a handler that begins
// to write at the offset from: the record's Base, or any other of which PrepareRecovery says that it
// can be compared from there on. It must be made, and run to its end, before anything is intended.
func (rec *Record) Verifier(from int64) *Verifier {
	s := &rec.out
	v := &Verifier{h: rec.h, crcs: crcChain(rec.r, rec.h), length: s.length, base: int64(s.base), end: int64(s.base + s.end), pos: from}
	if !v.length {
		v.last = make([]byte, s.end%BlockSize)
		s.copyBlock(v.last)
	}
	v.advance(0)
	return v
}

// End is the offset at which the record ends and the handler goes live.
func (v *Verifier) End() int64 { return v.end }

// Pos is the offset up to which the handler has written.
func (v *Verifier) Pos() int64 { return v.pos }

// Verified returns the offset below which the output is known to be right. It
// lags behind Pos by less than BlockSize, and not at all in the last block or
// when lengths only are compared.
func (v *Verifier) Verified() int64 {
	if v.length || v.pos < v.base || v.pos >= v.exact() {
		return v.pos
	}
	return v.pos - (v.pos-v.base)%BlockSize
}

// exact is where the incomplete block begins.
func (v *Verifier) exact() int64 { return v.end - (v.end-v.base)%BlockSize }

// Write takes the next bytes of the output, at most End-Pos of them.
func (v *Verifier) Write(p []byte) *Mismatch {
	if v.length {
		v.advance(len(p))
		return nil
	}
	if n := min(int64(len(p)), v.base-v.pos); n > 0 {
		p = p[n:]
		v.advance(int(n))
	}
	exact := v.exact()
	for len(p) > 0 && v.pos < exact {
		n := min(len(p), BlockSize-int((v.pos-v.base)%BlockSize))
		v.crc = crc32.Update(v.crc, castagnoli, p[:n])
		p = p[n:]
		v.advance(n)
		if (v.pos-v.base)%BlockSize != 0 {
			break
		}
		w := v.crcs.word(uint32((v.pos-v.base)/BlockSize-1), false)
		if w == nil || atomic.LoadUint32(w) != v.crc {
			return &Mismatch{Offset: v.pos - BlockSize, End: v.pos}
		}
		v.crc = 0
	}
	if len(p) == 0 {
		return nil
	}
	want := v.last[v.pos-exact:]
	want = want[:min(len(p), len(want))]
	if !bytes.Equal(p[:len(want)], want) {
		i := 0
		for p[i] == want[i] {
			i++
		}
		at := v.pos + int64(i)
		return &Mismatch{Offset: at, End: at + 1}
	}
	v.advance(len(want))
	return nil
}

func (v *Verifier) advance(n int) {
	v.pos += int64(n)
	at := uint64(v.pos)
	if v.pos >= v.end {
		at = allReplayed
	}
	atomic.StoreUint64(&v.h.replayed, at)
}
