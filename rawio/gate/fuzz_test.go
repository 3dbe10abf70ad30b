package gate

import (
	"encoding/binary"
	"testing"
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
		m := NewModel(1)
		must(t, m.SetService(servicePort, ServiceListen, false))
		for _, v6 := range []bool{false, true} {
			must(t, m.Bind(testFlow(v6), 0))
		}
		slotState{Mode: Mode(mode % 6), Flags: SlotFlags(flags % 64), Delta: 1, TSDelta: 2, Released: Released(released % 3)}.store(m.Slot(0))
		m.Tap(pkt, 0)
		n := len(pkt)
		if ingress {
			m.Ingress(pkt, 0)
		} else {
			m.Egress(pkt, 0)
		}
		for _, e := range m.TakeEvents() {
			if len(e.Packet) > EventCapture || len(e.Packet) > n {
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

// FuzzEvent checks that no record makes decode panic or read beyond it.
func FuzzEvent(f *testing.F) {
	crash := make([]byte, crashSize)
	binary.NativeEndian.PutUint32(crash, uint32(EventCrashed))
	f.Add(crash)
	f.Add(crash[:crashSize-1])
	f.Add(make([]byte, eventSize))
	f.Fuzz(func(t *testing.T, rec []byte) {
		var e Event
		if err := e.decode(rec); err != nil {
			return
		}
		if len(e.Packet) > EventCapture || eventHeader+len(e.Packet) > len(rec) {
			t.Errorf("%d bytes of packet in a record of %d", len(e.Packet), len(rec))
		}
		if e.Kind != EventCrashed && (e.PID != 0 || e.Code != 0) {
			t.Errorf("%v of process %d, code %d", e.Kind, e.PID, e.Code)
		}
	})
}

// FuzzOutput checks the same of outputs.
func FuzzOutput(f *testing.F) {
	for _, length := range []uint32{0, 1, 224, 225, 1 << 31, 1<<32 - 1} {
		rec := make([]byte, 256)
		binary.NativeEndian.PutUint32(rec[16:], length)
		f.Add(rec)
	}
	f.Add(make([]byte, outputHeader-1))
	f.Fuzz(func(t *testing.T, rec []byte) {
		o := Output{record: rec}
		if err := o.decode(); err != nil {
			return
		}
		if n := binary.NativeEndian.Uint32(rec[16:]); len(o.Packet) != int(n) || outputHeader+len(o.Packet) > len(rec) {
			t.Errorf("%d bytes of packet, said to be %d, in a record of %d", len(o.Packet), n, len(rec))
		}
		if cap(o.Packet) != len(o.Packet) {
			t.Error("appending to the packet overwrites the record")
		}
	})
}
