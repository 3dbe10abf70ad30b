package south

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/ftnet/ftnet/internal/segment"
)

// TestIndex compares the index with a map.
func TestIndex(t *testing.T) {
	server := netip.MustParseAddrPort("10.0.0.1:80")
	flow := func(n int) segment.Flow {
		return segment.Flow{Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), uint16(n)), Server: server}
	}
	rapid.Check(t, func(t *rapid.T) {
		var slots []slotEntry
		x := newIndex(&slots)
		want := map[int]*Conn{}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				n := rapid.IntRange(0, 300).Draw(t, "n")
				if want[n] == nil {
					c := &Conn{Flow: flow(n), slot: uint32(len(slots))}
					slots = append(slots, slotEntry{conn: c})
					x.put(c)
					want[n] = c
				}
			},
			"remove": func(t *rapid.T) {
				n := rapid.IntRange(0, 300).Draw(t, "n")
				x.remove(flow(n))
				if c := want[n]; c != nil {
					slots[c.slot].conn = nil
					delete(want, n)
				}
			},
			"": func(t *rapid.T) {
				if x.n != len(want) {
					t.Fatalf("%d entries, want %d", x.n, len(want))
				}
				for n := range 301 {
					if got := x.get(flow(n)); got != want[n] {
						t.Fatalf("flow %d: %p, want %p", n, got, want[n])
					}
				}
			},
		})
	})
}
