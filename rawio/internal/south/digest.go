package south

import (
	"hash/crc32"
	"slices"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest is the record of an unmodified server's output, with which a
// restarted server's is compared: a running CRC-32C, kept at the ends of the
// segments that the client has not acknowledged yet, and at some places before,
// so that a difference shows early. Offsets are the server stream's.
//
// A super-packet (GSO) counts as the segments that it is cut into: the restarted server
// may send no more than one segment beyond what the client has acknowledged, and
// that must suffice for a comparison.
type digest struct {
	base, end int64 // what the checksum covers
	sum       uint32
	ahead     *queue // output that was captured before what precedes it
	marks     []mark // from the last one acknowledged on, in order
	coarse    []mark // before those, in order, at least step apart
	step      int64
	grain     int // most between two marks, bytes
	// loose says that the record may begin later than base: it begins with the first output added.
	loose bool
}

// mark is the checksum of the output from base to an offset.
type mark struct {
	off int64
	sum uint32
}

const (
	firstStep  = 64 << 10
	maxCoarse  = 32
	maxUnknown = 4 << 20 // bytes of output kept beyond a gap
)

func newDigest(base int64, grain int) *digest {
	return &digest{base: base, end: base, step: firstStep, grain: grain}
}

// add takes output that lies at off. Bytes below end are skipped; bytes beyond a
// gap are kept until it is filled.
func (d *digest) add(off int64, p []byte) {
	if off+int64(len(p)) <= d.end {
		return
	}
	if d.loose {
		if d.loose = false; off > d.end {
			d.base, d.end = off, off
		}
	}
	if skip := d.end - off; skip > 0 {
		off, p = d.end, p[skip:]
	}
	if off > d.end {
		if d.ahead == nil {
			d.ahead = &queue{}
		}
		d.ahead.insert(off, p, maxUnknown)
		return
	}
	d.extend(p)
	for q := d.ahead.next(d.end); q != nil; q = d.ahead.next(d.end) {
		d.extend(q)
	}
	if d.ahead.empty() {
		d.ahead = nil
	}
}

func (d *digest) extend(p []byte) {
	for len(p) > 0 {
		n := min(len(p), d.grain)
		d.sum = crc32.Update(d.sum, castagnoli, p[:n])
		d.end += int64(n)
		d.marks = append(d.marks, mark{d.end, d.sum})
		p = p[n:]
	}
}

// acknowledged forgets marks below the last one at or below una.
func (d *digest) acknowledged(una int64) {
	n := 0
	for n+1 < len(d.marks) && d.marks[n+1].off <= una {
		d.keep(d.marks[n])
		n++
	}
	if n > 0 {
		d.marks = slices.Delete(d.marks, 0, n)
	}
}

// keep remembers a mark if the last one is far enough away.
func (d *digest) keep(k mark) {
	last := d.base
	if n := len(d.coarse); n > 0 {
		last = d.coarse[n-1].off
	}
	if k.off-last < d.step {
		return
	}
	if len(d.coarse) == maxCoarse {
		d.step *= 2
		for i := range maxCoarse / 2 {
			d.coarse[i] = d.coarse[2*i+1]
		}
		d.coarse = d.coarse[:maxCoarse/2]
	}
	d.coarse = append(d.coarse, k)
}

// next returns the first mark beyond off, if there is one.
func (d *digest) next(off int64) (mark, bool) {
	for _, list := range [2][]mark{d.coarse, d.marks} {
		i, _ := slices.BinarySearchFunc(list, off+1, func(k mark, off int64) int { return int(min(max(k.off-off, -1), 1)) })
		if i < len(list) {
			return list[i], true
		}
	}
	return mark{}, false
}

// check compares a restarted server's output with a digest as it comes.
type check struct {
	sum      uint32
	verified int64 // output up to here is known to be the same
}

// add takes p, which lies at off, the end of what was taken before. It reports
// whether the output agrees with the digest; if not, bad is the offset of the mark
// before which they differ.
func (k *check) add(d *digest, off int64, p []byte) (bad int64, ok bool) {
	if skip := d.base - off; skip > 0 { // there is no record of that
		n := min(skip, int64(len(p)))
		off, p = off+n, p[n:]
		k.verified = max(k.verified, off)
	}
	for {
		m, more := d.next(off)
		n := int64(len(p))
		if !more || m.off > off+n {
			k.sum = crc32.Update(k.sum, castagnoli, p)
			return 0, true
		}
		n = m.off - off
		k.sum = crc32.Update(k.sum, castagnoli, p[:n])
		if k.sum != m.sum {
			return m.off, false
		}
		k.verified = m.off
		off, p = m.off, p[n:]
		if len(p) == 0 {
			return 0, true
		}
	}
}
