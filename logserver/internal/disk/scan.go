package disk

import (
	"errors"
	"io"
	"slices"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// window is how much of a file a scanner has in memory, unless a record is longer.
const window = 1 << 20

// scanner reads a segment from front to back: all records, and the gaps between
// them. What it has in memory does not depend on how long the segment is.
type scanner struct {
	src    io.ReaderAt
	codec  *format.Codec
	end    int64 // where it stops; may lie beyond the last record
	window int

	pos, lost int64
	until     int64 // where the batch's records end, if that is known
	gaps      []gap
	buf       []byte
	from      int64 // where buf begins
}

func newScanner(src io.ReaderAt, codec *format.Codec, end int64) *scanner {
	return &scanner{src: src, codec: codec, end: end, window: window, pos: format.Begin, lost: -1, until: -1}
}

// bytes returns n bytes from pos on, or as many as there are before the end. They
// are good until the next call.
func (s *scanner) bytes(pos, n int64) ([]byte, error) {
	n = min(n, s.end-pos)
	if pos < s.from || pos+n > s.from+int64(len(s.buf)) {
		want := min(max(n, int64(s.window)), s.end-pos)
		s.buf = slices.Grow(s.buf[:0], int(want))[:want]
		s.from = pos
		got, err := s.src.ReadAt(s.buf, pos)
		if int64(got) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			s.buf = s.buf[:0]
			return nil, err
		}
	}
	at := pos - s.from
	return s.buf[at : at+n], nil
}

// found ends a gap, if there is one, at pos.
func (s *scanner) found(pos int64) {
	if s.lost >= 0 {
		s.gaps = append(s.gaps, gap{s.lost, pos})
		s.lost = -1
	}
}

// next returns the next record. Its payload is good until the next call. The error is
// io.EOF at the end, when all gaps are known.
func (s *scanner) next() (rec, error) {
	for s.pos+format.HeaderSize <= s.end {
		if s.pos == s.until {
			s.found(s.pos)
			s.pos, s.until = blockEnd(s.pos), -1
			continue
		}
		b, err := s.bytes(s.pos, format.HeaderSize)
		if err != nil {
			return rec{}, err
		}
		h, ok := s.codec.Header(b, s.pos)
		if !ok || s.pos+int64(h.N) > s.end {
			if err := s.search(); err != nil {
				return rec{}, err
			}
			continue
		}
		s.found(s.pos)
		if h.Type == format.Batch {
			s.until = s.pos + int64(min(h.Conn, uint64(s.end)))
		}
		r := rec{h: h, ok: h.Type == store.Void}
		size := int64(s.codec.Size(int(h.N)))
		if h.Type != format.Trailer && h.Type != store.Void && s.pos+size <= s.end {
			if b, err = s.bytes(s.pos, size); err != nil {
				return rec{}, err
			}
			r.payload, err = s.codec.Payload(b, h)
			r.ok = err == nil
		}
		// What a damaged header claims may be wrong only if its checksum was
		// forged; then the next record is looked for inside.
		s.pos += size
		return r, nil
	}
	s.found(s.end)
	return rec{}, io.EOF
}

// search moves on where no record is.
func (s *scanner) search() error {
	if s.lost < 0 && s.until < 0 && s.pos%format.BatchAlign != 0 {
		rest, err := s.bytes(s.pos, blockEnd(s.pos)-s.pos)
		if err != nil {
			return err
		}
		if zero(rest) {
			s.pos = blockEnd(s.pos) // it ends a batch that has lost its beginning
			return nil
		}
	}
	if s.lost < 0 {
		s.lost = s.pos
	}
	s.pos += format.Align
	return nil
}

// all returns what there is. The payloads are copies, of those records that keep
// wants.
func (s *scanner) all(keep func(format.Header) bool) ([]rec, []gap, error) {
	var recs []rec
	for {
		r, err := s.next()
		if errors.Is(err, io.EOF) {
			return recs, s.gaps, nil
		} else if err != nil {
			return nil, nil, err
		}
		if keep(r.h) {
			r.payload = slices.Clone(r.payload)
		} else {
			r.payload = nil
		}
		recs = append(recs, r)
	}
}

// blockEnd rounds a position up to where a batch may begin.
func blockEnd(pos int64) int64 { return (pos + format.BatchAlign - 1) &^ (format.BatchAlign - 1) }

func zero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
