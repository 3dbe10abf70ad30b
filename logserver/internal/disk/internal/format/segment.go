package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Version is the version of the format that this package writes, and the only
// one that it reads.
const Version = 4

const (
	// PageSize is the length of one copy of a segment's header.
	PageSize = 4096
	// Begin is the position of a segment's first record.
	Begin = 2 * PageSize
	// maxHead is the longest head that a segment's header holds; store.MaxHead is less.
	maxHead = PageSize - 4 - headAt
	headAt  = 100

	magic         = "FTNETLOG"
	flagEncrypted = 1
)

// SegmentHeader is the header of a segment.
type SegmentHeader struct {
	ID        uint64
	Size      int64
	Encrypted bool
	Salt      [32]byte
	KeyCheck  [16]byte
	// Prev is the segment before, of which PrevEnd bytes were stable.
	Prev    uint64
	PrevEnd int64
	// Head is what the store's owner begins each segment with.
	Head []byte
}

// ErrNoHeader is returned for what is no segment's header.
var ErrNoHeader = errors.New("no valid segment header")

// VersionError is returned for a segment of another version.
type VersionError uint32

func (e VersionError) Error() string {
	return fmt.Sprintf("version %d of the format; this program knows version %d", uint32(e), Version)
}

// Append adds both pages to b.
func (h *SegmentHeader) Append(b []byte) []byte {
	le := binary.LittleEndian
	p := make([]byte, PageSize)
	copy(p, magic)
	le.PutUint32(p[8:], Version)
	if h.Encrypted {
		le.PutUint32(p[12:], flagEncrypted)
	}
	le.PutUint64(p[16:], h.ID)
	le.PutUint64(p[24:], uint64(h.Size))
	copy(p[32:64], h.Salt[:])
	copy(p[64:80], h.KeyCheck[:])
	le.PutUint64(p[80:], h.Prev)
	le.PutUint64(p[88:], uint64(h.PrevEnd))
	le.PutUint32(p[96:], uint32(copy(p[headAt:headAt+maxHead], h.Head)))
	le.PutUint32(p[PageSize-4:], crc32.Checksum(p[:PageSize-4], castagnoli))
	return append(append(b, p...), p...)
}

// ParseSegmentHeader reads a header from what a segment begins with: Begin
// bytes, or fewer. It returns ErrNoHeader or a VersionError.
func ParseSegmentHeader(b []byte) (SegmentHeader, error) {
	err := ErrNoHeader
	for ; len(b) >= PageSize; b = b[PageSize:] {
		var h SegmentHeader
		h, err = parsePage(b[:PageSize])
		if err == nil {
			return h, nil
		}
	}
	return SegmentHeader{}, err
}

func parsePage(p []byte) (SegmentHeader, error) {
	le := binary.LittleEndian
	if string(p[:8]) != magic || le.Uint32(p[PageSize-4:]) != crc32.Checksum(p[:PageSize-4], castagnoli) {
		return SegmentHeader{}, ErrNoHeader
	}
	if v := le.Uint32(p[8:]); v != Version {
		return SegmentHeader{}, VersionError(v)
	}
	h := SegmentHeader{
		ID: le.Uint64(p[16:]), Size: int64(le.Uint64(p[24:])), Encrypted: le.Uint32(p[12:])&flagEncrypted != 0,
		Prev: le.Uint64(p[80:]), PrevEnd: int64(le.Uint64(p[88:])),
	}
	copy(h.Salt[:], p[32:64])
	copy(h.KeyCheck[:], p[64:80])
	n := le.Uint32(p[96:])
	if n > maxHead || h.Size < Begin {
		return SegmentHeader{}, ErrNoHeader
	}
	h.Head = append(h.Head, p[headAt:headAt+n]...)
	return h, nil
}

// Resembles tells whether b looks like the damaged header of a segment with
// this number.
func Resembles(b []byte, id uint64) bool {
	for ; len(b) >= PageSize; b = b[PageSize:] {
		if string(b[:8]) == magic && binary.LittleEndian.Uint64(b[16:]) == id {
			return true
		}
	}
	return false
}
