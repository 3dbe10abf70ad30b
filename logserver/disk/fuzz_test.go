package disk

import (
	"bytes"
	"testing"

	"github.com/ftnet/ftnet/logserver/disk/format"
)

// FuzzSegment: whatever a segment holds, reading it ends, and what it finds
// was written: each payload has its checksum.
func FuzzSegment(f *testing.F) {
	h := format.SegmentHeader{ID: 1, Size: 1 << 20}
	plain, err := format.NewCodec(&h, nil)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := format.NewCodec(&h, make([]byte, format.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	segment := func(c *format.Codec) []byte {
		b := h.Append(nil)
		for i, payload := range [][]byte{nil, []byte("data"), bytes.Repeat([]byte{1}, 100), nil} {
			typ := []format.Type{format.Batch, format.Data, format.Data, format.Tomb}[i]
			rec := make([]byte, c.Size(len(payload)))
			c.Put(rec, format.Header{Type: typ, N: uint32(len(payload)), Batch: 1, Pos: uint32(len(b)), Conn: 7, Offset: int64(i)}, payload)
			b = append(b, rec...)
		}
		return b
	}
	f.Add(segment(plain), false, uint16(0), byte(0))
	f.Add(segment(sealed), true, uint16(8300), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, encrypted bool, at uint16, flip byte) {
		codec, whole := plain, segment(plain)
		if encrypted {
			codec, whole = sealed, segment(sealed)
		}
		_, _ = format.ParseSegmentHeader(b)
		scan(bytes.Clone(b), codec)
		if len(whole) <= int(at) {
			return
		}
		whole[at] ^= flip
		recs, gaps := scan(whole, codec)
		ok := 0
		for _, r := range recs {
			if r.ok {
				ok++
			}
			if r.ok && r.h.Type == format.Data && !bytes.Equal(r.payload, []byte("data")) && !bytes.Equal(r.payload, bytes.Repeat([]byte{1}, 100)) {
				t.Errorf("other bytes: %q", r.payload)
			}
		}
		if ok < 3 {
			t.Errorf("one changed byte at %d makes %d of 4 records readable, gaps %v", at, ok, gaps)
		}
	})
}
