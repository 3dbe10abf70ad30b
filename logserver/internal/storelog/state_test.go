package storelog

import (
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
	s := connState{Number: 7, ReadsFrom: 4, Fin: -1, Meta: logserver.Meta{
		ID: 5, Tag: math.MaxUint64, Service: "x", Handshake: []byte{1, 2, 3},
		Flow:    logserver.Flow{Client: netip.MustParseAddrPort("[fe80::1%eth0]:4000"), Server: netip.MustParseAddrPort("192.0.2.1:1")},
		Output:  logserver.Output{Acked: 1, Closed: true, End: 1 << 50},
		Base:    logserver.Base{In: 5, Out: 6, State: []byte("state")},
		Created: time.Unix(1, 2), Modified: time.Unix(3, 4),
	}}
	f.Add(s.append(nil))
	s.Meta.Flow, s.Meta.Finished, s.Fin = logserver.Flow{}, true, 6
	f.Add(s.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		again, err := parseState(s.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again, compare); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
