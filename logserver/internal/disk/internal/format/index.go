package format

import (
	"encoding/binary"
	"errors"

	"github.com/ftnet/ftnet/logserver/internal/record"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// ErrIndex is returned for an index that makes no sense.
var ErrIndex = errors.New("index makes no sense")

// MaxEntry is the most bytes that AppendEntry adds.
const MaxEntry = 2 + 4*binary.MaxVarintLen64

// Indexer lists records in the order in which they stand in a segment.
type Indexer struct {
	last Header
	buf  []byte
}

// Add lists a record.
func (x *Indexer) Add(h Header) {
	b := append(x.buf, byte(h.Type), h.Flags)
	b = binary.AppendUvarint(b, uint64(h.Pos-x.last.Pos))
	b = binary.AppendUvarint(b, uint64(h.N))
	b = binary.AppendVarint(b, int64(h.Conn-x.last.Conn))
	b = binary.AppendVarint(b, h.Offset-x.last.Offset)
	x.buf, x.last = b, h
}

// Bytes returns the payload of an Index record.
func (x *Indexer) Bytes() []byte { return x.buf }

// Reset empties the list.
func (x *Indexer) Reset() { x.buf, x.last = x.buf[:0], Header{} }

// ParseIndex returns the headers that an index lists, without the numbers of
// their batches. Records lie below end.
func ParseIndex(b []byte, end int64) ([]Header, error) {
	var list []Header
	var last Header
	for c := record.NewCursor(b); c.More(); {
		h := Header{Type: store.Type(c.U8()), Flags: c.U8()}
		pos, n := c.Uvarint(), c.Uvarint()
		conn, off := c.Varint(), c.Varint()
		if c.Bad() || pos > uint64(end) || n > uint64(end) {
			return nil, ErrIndex
		}
		at := int64(last.Pos) + int64(pos)
		if at < Begin || at%Align != 0 || at+HeaderSize+int64(n) > end || len(list) > 0 && pos < HeaderSize+uint64(last.N) {
			return nil, ErrIndex
		}
		h.Pos, h.N = uint32(at), uint32(n)
		h.Conn, h.Offset = last.Conn+uint64(conn), last.Offset+off
		list, last = append(list, h), h
	}
	return list, nil
}
