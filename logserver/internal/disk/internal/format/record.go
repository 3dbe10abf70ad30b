package format

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/ftnet/ftnet/logserver/internal/store"
)

// The types of records that are the files' own.
const (
	// Batch begins what was written and made stable at once. Offset is the
	// time, in ns since 1970, Conn the length of all records of the batch, this
	// one included. There is no payload.
	Batch = store.Own + iota
	// Index lists a segment's records, see AppendEntry.
	Index
	// Trailer lies at the end of a segment. Offset is the Index's position,
	// Conn the segment's number. There is no payload.
	Trailer
)

const (
	// HeaderSize is the length of a record's header.
	HeaderSize = 40
	// TagSize is what encryption adds to a record.
	TagSize = 16
	// Align is what a record's position is a multiple of.
	Align = 8
	// BatchAlign is what a batch's position is a multiple of.
	BatchAlign = 4096
)

// Header is a record's header.
type Header struct {
	Type   store.Type
	Flags  uint8
	N      uint32 // length of the payload
	Batch  uint32
	Pos    uint32
	Conn   uint64
	Offset int64
	crc    uint32 // of the payload
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record returns what of it is the caller's of a store.
func (h *Header) Record() store.Header {
	return store.Header{Type: h.Type, Flags: h.Flags, N: h.N, Conn: h.Conn, Offset: h.Offset}
}

// Size returns how many bytes a record with n bytes of payload occupies.
func Size(n int, encrypted bool) int {
	n += HeaderSize
	if encrypted {
		n += TagSize
	}
	return (n + Align - 1) &^ (Align - 1)
}

// Size is the function of this name for the codec's segment.
func (c *Codec) Size(n int) int { return Size(n, c.aead != nil) }

// put writes the header to b, but for its own checksum.
func (h *Header) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[4:], h.crc)
	b[8], b[9], b[10], b[11] = byte(h.Type), h.Flags, 0, 0
	le.PutUint32(b[12:], h.N)
	le.PutUint32(b[16:], h.Batch)
	le.PutUint32(b[20:], h.Pos)
	le.PutUint64(b[24:], h.Conn)
	le.PutUint64(b[32:], uint64(h.Offset))
}

func (c *Codec) finish(b []byte) {
	binary.LittleEndian.PutUint32(b, crc32.Update(c.seed, castagnoli, b[4:HeaderSize]))
}

// Header reads the header that b begins with, of a record that lies at pos. It
// returns false if there is none.
func (c *Codec) Header(b []byte, pos int64) (Header, bool) {
	le := binary.LittleEndian
	// The position is looked at first: a search in garbage is quick so.
	if len(b) < HeaderSize || le.Uint32(b[20:]) != uint32(pos) ||
		le.Uint32(b) != crc32.Update(c.seed, castagnoli, b[4:HeaderSize]) {
		return Header{}, false
	}
	h := Header{
		Type: store.Type(b[8]), Flags: b[9], N: le.Uint32(b[12:]), Batch: le.Uint32(b[16:]), Pos: le.Uint32(b[20:]),
		Conn: le.Uint64(b[24:]), Offset: int64(le.Uint64(b[32:])), crc: le.Uint32(b[4:]),
	}
	return h, true
}

// PutPlain writes the header of a record, whose payload is in the pieces, to
// b. It is for segments that are not encrypted.
func (c *Codec) PutPlain(b []byte, h Header, pieces ...[]byte) {
	h.crc = 0
	for _, p := range pieces {
		h.crc = crc32.Update(h.crc, castagnoli, p)
	}
	h.put(b)
	c.finish(b)
}

// PutSummed writes the header of a record to b, whose payload already lies where
// it belongs and has this checksum (CRC-32C). It is for segments that are not encrypted.
func (c *Codec) PutSummed(b []byte, h Header, sum uint32) {
	h.crc = sum
	h.put(b)
	c.finish(b)
}

// PutSealed writes a whole record to b, whose payload is in the pieces. b is as
// long as Size says.
func (c *Codec) PutSealed(b []byte, h Header, pieces ...[]byte) {
	h.crc = 0
	h.put(b)
	payload := b[HeaderSize:HeaderSize]
	for _, p := range pieces {
		payload = append(payload, p...)
	}
	sealed := c.aead.Seal(payload[:0], c.nonce(h.Pos), payload, b[8:HeaderSize])
	clear(b[HeaderSize+len(sealed):])
	c.finish(b)
}

// Put writes a whole record, whose payload is in the pieces, to b. b is as long
// as Size says.
func (c *Codec) Put(b []byte, h Header, pieces ...[]byte) {
	if c.aead != nil {
		c.PutSealed(b, h, pieces...)
		return
	}
	n := HeaderSize
	for _, p := range pieces {
		n += copy(b[n:], p)
	}
	clear(b[n:])
	c.PutPlain(b, h, b[HeaderSize:HeaderSize+int(h.N)])
}

// Payload returns the payload of the record that b holds, whose header is h,
// and decrypts it in place. It is store.ErrDamaged if it is not what was written.
func (c *Codec) Payload(b []byte, h Header) ([]byte, error) {
	end := HeaderSize + int64(h.N)
	if c.aead != nil {
		end += TagSize
	}
	if end > int64(len(b)) {
		return nil, store.ErrDamaged
	}
	payload := b[HeaderSize:end:end]
	if c.aead != nil {
		plain, err := c.aead.Open(payload[:0], c.nonce(h.Pos), payload, b[8:HeaderSize])
		if err != nil {
			return nil, store.ErrDamaged
		}
		return plain, nil
	}
	if crc32.Checksum(payload, castagnoli) != h.crc {
		return nil, store.ErrDamaged
	}
	return payload, nil
}

// MakeVoid turns the header that b begins with into a Void's.
func (c *Codec) MakeVoid(b []byte) {
	b[8] = byte(store.Void)
	c.finish(b)
}
