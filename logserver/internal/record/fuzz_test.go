package record

import (
	"bytes"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/logserver"
)

var byAddr = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func exampleMeta() logserver.Meta {
	return logserver.Meta{
		ID: 7<<32 | 5, Tag: math.MaxUint64, Service: "counter",
		Flow: logserver.Flow{
			Client: netip.MustParseAddrPort("[fe80::1%eth0]:4000"),
			Server: netip.MustParseAddrPort("192.0.2.1:7000"),
		},
		Handshake: []byte{1, 0, 0xff},
		Output:    logserver.Output{Acked: -5, Closed: true, End: 1 << 41},
		Base:      logserver.Base{In: 6, Out: 1 << 40, State: []byte("state")},
		Finished:  true, Created: time.Unix(1, 2), Modified: time.Unix(-3, 4),
	}
}

// TestMeta: every field is read as it was written, and a byte less is not accepted.
func TestMeta(t *testing.T) {
	for _, want := range []logserver.Meta{{}, exampleMeta()} {
		b := AppendMeta(nil, &want)
		c := NewCursor(b)
		if diff := cmp.Diff(want, c.Meta(), byAddr); diff != "" || !c.Done() {
			t.Errorf("%v (-want +got):\n%s", c.Done(), diff)
		}
		c = NewCursor(b[:len(b)-1])
		if c.Meta(); c.Done() || !c.Bad() {
			t.Error("a byte less is accepted")
		}
	}
}

// FuzzMeta: what is accepted is encoded to the same bytes, and nothing makes the reader panic.
func FuzzMeta(f *testing.F) {
	m := exampleMeta()
	f.Add(AppendMeta(nil, &m))
	m.Flow, m.Created = logserver.Flow{}, time.Time{}
	f.Add(AppendMeta(nil, &m))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := NewCursor(b)
		if m := c.Meta(); c.Done() {
			if again := AppendMeta(nil, &m); !bytes.Equal(again, b) {
				t.Errorf("%x became %x", b, again)
			}
		}
	})
}

// FuzzRuns is the same for reads.
func FuzzRuns(f *testing.F) {
	f.Add(AppendRuns(nil, []logserver.ReadRun{{Length: 1, Count: math.MaxUint32}, {Length: 5, Count: 1}}))
	f.Add([]byte{0x81, 0, 1}) // a length that could be shorter
	f.Fuzz(func(t *testing.T, b []byte) {
		c := NewCursor(b)
		runs := c.Runs(3)
		if len(runs) > 3 {
			t.Errorf("%d runs", len(runs))
		}
		for _, r := range runs {
			if r.Length == 0 || r.Count == 0 {
				t.Errorf("run %v", r)
			}
		}
		if again := AppendRuns(nil, runs); c.Done() && !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
