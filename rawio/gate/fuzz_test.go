package gate

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// FuzzModel checks that no packet makes the Model panic or read beyond it.
func FuzzModel(f *testing.F) {
	for _, e := range environments() {
		for _, r := range rules(e) {
			in, _ := r.packets(e)
			f.Add(in, r.ingress, uint32(r.slot.Mode), uint32(r.slot.Flags))
		}
	}
	f.Fuzz(func(t *testing.T, pkt []byte, ingress bool, mode, flags uint32) {
		m := NewModel(1)
		must(t, m.SetService(servicePort, ServiceListen, false))
		for _, v6 := range []bool{false, true} {
			must(t, m.Bind(testFlow(v6), 0))
		}
		slotState{Mode: Mode(mode % 5), Flags: SlotFlags(flags % 16), Delta: 1, TSDelta: 2}.store(m.Slot(0))
		m.Tap(pkt, 0)
		n := len(pkt)
		if ingress {
			m.Ingress(pkt, 0)
		} else {
			m.Egress(pkt, 0, 0)
		}
		for _, e := range m.TakeEvents() {
			if len(e.Packet) > EventCapture || len(e.Packet) > n {
				t.Errorf("event with %d bytes of a packet of %d", len(e.Packet), n)
			}
		}
	})
}
