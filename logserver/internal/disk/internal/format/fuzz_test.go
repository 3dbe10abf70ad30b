package format

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ftnet/ftnet/logserver/internal/store"
)

// FuzzIndex: what was written is read, and nothing makes the reader panic.
func FuzzIndex(f *testing.F) {
	var x Indexer
	x.Add(Header{Type: Batch, Pos: Begin, Offset: math.MaxInt64})
	x.Add(Header{Type: store.Data, Pos: Begin + 40, N: 8, Conn: math.MaxUint64, Offset: math.MinInt64})
	f.Add(x.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := ParseIndex(b, 1<<20); err == nil {
			var x Indexer
			for _, h := range list {
				x.Add(h)
			}
			again, err := ParseIndex(x.Bytes(), 1<<20)
			if diff := cmp.Diff(list, again, cmpopts.IgnoreUnexported(Header{})); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		}
	})
}

// TestRecord: a record is read as it was written, and not with another
// segment's codec, nor in another place.
func TestRecord(t *testing.T) {
	for _, key := range [][]byte{nil, make([]byte, KeySize)} {
		one, two := SegmentHeader{ID: 1, Size: 1 << 20, Head: []byte("head")}, SegmentHeader{ID: 2, Size: 1 << 20, Salt: [32]byte{1}}
		c, err := NewCodec(&one, key)
		if err != nil {
			t.Fatal(err)
		}
		other, err := NewCodec(&two, key)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, c.Size(11))
		c.Put(b, Header{Type: store.Data, N: 11, Pos: 8192, Conn: 5, Offset: 6}, []byte("hello "), []byte("world"))
		if _, ok := other.Header(b, 8192); ok {
			t.Error("another segment's codec reads the header")
		}
		if _, ok := c.Header(b, 8200); ok {
			t.Error("the header is valid in another place")
		}
		h, ok := c.Header(b, 8192)
		if !ok || h.Type != store.Data || h.Conn != 5 || h.Offset != 6 || h.N != 11 {
			t.Fatalf("header is %+v, %v", h, ok)
		}
		payload, err := c.Payload(bytes.Clone(b), h)
		if err != nil || string(payload) != "hello world" {
			t.Errorf("payload is %q, %v", payload, err)
		}
		page := one.Append(nil)
		page[20] ^= 1 // the second copy will do
		got, err := ParseSegmentHeader(page)
		if diff := cmp.Diff(one, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}
