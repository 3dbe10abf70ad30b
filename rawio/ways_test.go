package rawio

import (
	"net/netip"
	"testing"
)

// TestNextSYN: SYNs that are not answered change between the ways; those that nobody
// could have answered don't, nor do those to addresses that loopback does not have.
func TestNextSYN(t *testing.T) {
	type sent struct{ loopback, vain bool }
	for _, test := range []struct {
		name    string
		to      string
		listens bool
		want    []sent
	}{
		{"unanswered", "10.0.0.1", true, []sent{{}, {}, {loopback: true}, {vain: true}, {loopback: true}, {}}},
		{"unanswered, IPv6", "fd00::1", true, []sent{{}, {}, {loopback: true}, {vain: true}, {loopback: true}, {}}},
		{"link-local", "fe80::1", true, []sent{{}, {}, {}, {vain: true}, {}, {}}},
		{"refused", "10.0.0.1", false, make([]sent, 20)},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			for i, want := range test.want {
				var got sent
				n, got.loopback, got.vain = nextSYN(n, netip.MustParseAddr(test.to), func() bool { return test.listens })
				if got != want {
					t.Errorf("SYN %d: %+v, want %+v", i+1, got, want)
				}
			}
		})
	}
}
