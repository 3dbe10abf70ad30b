package disk

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/store"
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
			typ := []store.Type{format.Batch, store.Data, store.Data, store.Deletion}[i]
			rec := make([]byte, c.Size(len(payload)))
			conn := uint64(7)
			if typ == format.Batch {
				conn = uint64(2*c.Size(0) + c.Size(4) + c.Size(100))
			}
			c.Put(rec, format.Header{Type: typ, N: uint32(len(payload)), Batch: 1, Pos: uint32(len(b)), Conn: conn, Offset: int64(i)}, payload)
			b = append(b, rec...)
		}
		// Another batch in the next block, of one record.
		b = append(b, make([]byte, blockEnd(int64(len(b)))-int64(len(b)))...)
		rec := make([]byte, c.Size(0))
		c.Put(rec, format.Header{Type: format.Batch, Batch: 2, Pos: uint32(len(b)), Conn: uint64(len(rec))})
		return append(b, rec...)
	}
	f.Add(segment(plain), false, uint16(0), byte(0))
	f.Add(segment(sealed), true, uint16(8300), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, encrypted bool, at uint16, flip byte) {
		codec, whole := plain, segment(plain)
		if encrypted {
			codec, whole = sealed, segment(sealed)
		}
		_, _ = format.ParseSegmentHeader(b)
		scanned(t, bytes.Clone(b), codec)
		if len(whole) <= int(at) {
			return
		}
		whole[at] ^= flip
		recs, gaps := scanned(t, whole, codec)
		ok := 0
		for _, r := range recs {
			if r.ok {
				ok++
			}
			if r.ok && r.h.Type == store.Data && !bytes.Equal(r.payload, []byte("data")) && !bytes.Equal(r.payload, bytes.Repeat([]byte{1}, 100)) {
				t.Errorf("other bytes: %q", r.payload)
			}
		}
		if ok < 4 || len(gaps) > 1 {
			t.Errorf("one changed byte at %d makes %d of 5 records readable, gaps %v", at, ok, gaps)
		}
		if flip == 0 && len(gaps) > 0 {
			t.Errorf("gaps %v in a whole segment", gaps)
		}
	})
}

// scanned is what a scanner finds, however much it reads at once.
func scanned(t *testing.T, b []byte, codec *format.Codec) ([]rec, []gap) {
	t.Helper()
	read := func(window int) ([]rec, []gap) {
		s := newScanner(bytes.NewReader(b), codec, int64(len(b)))
		s.window = window
		recs, gaps, err := s.all(func(format.Header) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		return recs, gaps
	}
	recs, gaps := read(window)
	little, littleGaps := read(1)
	if diff := cmp.Diff(recs, little, cmp.AllowUnexported(rec{}), cmpopts.IgnoreUnexported(format.Header{})); diff != "" {
		t.Errorf("with a little window (-want +got):\n%s", diff)
	}
	if !slices.Equal(gaps, littleGaps) {
		t.Errorf("gaps %v, with a little window %v", gaps, littleGaps)
	}
	return recs, gaps
}
