package kernel

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

func TestFlows(t *testing.T) {
	g, m := loadGate(t, 300), gatetest.NewModel(300)
	for _, j := range []interface {
		Bind(segment.Flow, uint32) error
		Unbind(segment.Flow) error
		Flows() (map[segment.Flow]uint32, error)
	}{g, m} {
		want := make(map[segment.Flow]uint32)
		for i := range uint16(200) {
			flow := testFlow(i%2 == 0)
			flow.Client = netip.AddrPortFrom(flow.Client.Addr(), 256*i+7)
			must(t, j.Bind(flow, uint32(i)))
			if i%3 == 0 {
				must(t, j.Unbind(flow))
			} else {
				want[flow] = uint32(i)
			}
		}
		got, err := j.Flows()
		must(t, err)
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(segment.Flow{})); diff != "" {
			t.Errorf("flows (-want +got):\n%s", diff)
		}
	}
}

// TestRoomForFlows: with a connection in each slot there is room for what is bound beside
// connections: two proofs, and a flow of each service that shares a slot.
func TestRoomForFlows(t *testing.T) {
	const conns = 4
	g := loadGate(t, conns)
	flow := func(i int) segment.Flow {
		f := testFlow(false)
		f.Client = netip.AddrPortFrom(f.Client.Addr(), uint16(1+i))
		return f
	}
	for i := range uint32(conns) {
		must(t, g.Bind(flow(int(i)), i))
	}
	for i := range 2 {
		must(t, g.BindProof(flow(conns+i)))
	}
	for i := range gate.MaxServices {
		must(t, g.Bind(flow(conns+2+i), conns-1))
	}
}
