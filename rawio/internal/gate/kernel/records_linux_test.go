package kernel

import (
	"encoding/binary"
	"testing"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// FuzzEvent checks that no record makes decode panic or read beyond it.
func FuzzEvent(f *testing.F) {
	crash := make([]byte, crashSize)
	binary.NativeEndian.PutUint32(crash, uint32(gate.EventCrashed))
	f.Add(crash)
	f.Add(crash[:crashSize-1])
	f.Add(make([]byte, eventSize))
	f.Fuzz(func(t *testing.T, rec []byte) {
		var e gate.Event
		if err := decodeEvent(&e, rec); err != nil {
			return
		}
		if len(e.Packet) > gate.EventCapture || eventHeader+len(e.Packet) > len(rec) {
			t.Errorf("%d bytes of packet in a record of %d", len(e.Packet), len(rec))
		}
		if e.Kind != gate.EventCrashed && (e.PID != 0 || e.Code != 0) {
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
		var o gate.Output
		if err := decodeOutput(&o, rec); err != nil {
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
