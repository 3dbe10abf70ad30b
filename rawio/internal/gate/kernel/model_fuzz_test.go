package kernel

import (
	"testing"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// FuzzModel checks that no packet makes the Model panic or read beyond it.
func FuzzModel(f *testing.F) {
	for _, e := range environments() {
		for _, r := range rules(e) {
			in, _ := r.packets(e)
			f.Add(in, r.ingress, uint32(r.slot.Mode), uint32(r.slot.Flags), uint32(r.slot.Released))
		}
	}
	f.Fuzz(func(t *testing.T, pkt []byte, ingress bool, mode, flags, released uint32) {
		m := gatetest.NewModel(1)
		must(t, m.SetService(servicePort, gate.ServiceListen, false))
		for _, v6 := range []bool{false, true} {
			must(t, m.Bind(testFlow(v6), 0))
		}
		slotState{Mode: gate.Mode(mode % 6), Flags: gate.SlotFlags(flags % 64), Delta: 1, TSDelta: 2, Released: gate.Released(released % 3)}.store(m.Slot(0))
		m.Tap(pkt, 0)
		n := len(pkt)
		if ingress {
			m.Ingress(pkt, 0)
		} else {
			m.Egress(pkt, 0)
		}
		for _, e := range m.TakeEvents() {
			if len(e.Packet) > gate.EventCapture || len(e.Packet) > n {
				t.Errorf("event with %d bytes of a packet of %d", len(e.Packet), n)
			}
		}
		for _, o := range m.TakeOutputs() {
			if len(o.Packet) > n {
				t.Errorf("output with %d bytes of a packet of %d", len(o.Packet), n)
			}
		}
	})
}
