package format

import (
	"bytes"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ftnet/ftnet/logserver"
)

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	cmpopts.EquateEmpty(),
}

// FuzzState: what was written is read, and nothing makes the reader panic.
func FuzzState(f *testing.F) {
	s := ConnState{Number: 7, ReadsFrom: 4, Fin: -1, Meta: logserver.Meta{
		ID: 5, Tag: math.MaxUint64, Service: "x", Handshake: []byte{1, 2, 3},
		Flow:    logserver.Flow{Client: netip.MustParseAddrPort("[fe80::1%eth0]:4000"), Server: netip.MustParseAddrPort("192.0.2.1:1")},
		Output:  logserver.Output{Acked: 1, Closed: true, End: 1 << 50},
		Base:    logserver.Base{In: 5, Out: 6, State: []byte("state")},
		Created: time.Unix(1, 2), Modified: time.Unix(3, 4),
	}}
	f.Add(s.Append(nil))
	s.Meta.Flow, s.Meta.Finished, s.Fin = logserver.Flow{}, true, 6
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err != nil {
			return
		}
		again, err := ParseState(s.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again, compare); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// FuzzIndex: the same for indexes.
func FuzzIndex(f *testing.F) {
	var x Indexer
	x.Add(Header{Type: Batch, Pos: Begin, Offset: math.MaxInt64})
	x.Add(Header{Type: Data, Pos: Begin + 40, N: 8, Conn: math.MaxUint64, Offset: math.MinInt64})
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
		one, two := SegmentHeader{ID: 1, Size: 1 << 20}, SegmentHeader{ID: 2, Size: 1 << 20, Salt: [32]byte{1}}
		c, err := NewCodec(&one, key)
		if err != nil {
			t.Fatal(err)
		}
		other, err := NewCodec(&two, key)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, c.Size(11))
		c.Put(b, Header{Type: Data, N: 11, Pos: 8192, Conn: 5, Offset: 6}, []byte("hello "), []byte("world"))
		if _, ok := other.Header(b, 8192); ok {
			t.Error("another segment's codec reads the header")
		}
		if _, ok := c.Header(b, 8200); ok {
			t.Error("the header is valid in another place")
		}
		h, ok := c.Header(b, 8192)
		if !ok || h.Type != Data || h.Conn != 5 || h.Offset != 6 || h.N != 11 {
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
