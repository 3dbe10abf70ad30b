package journal

import (
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
)

// FuzzHostileMemory lets a hostile server process write anything anywhere
// between the engine's calls: the engine must neither panic nor loop, and must
// still be able to serve a connection honestly afterwards.
func FuzzHostileMemory(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add([]byte("\x00\x01\x05\x01\x08\x01\xfa\x01\x09\x01\x07\x01\x04\x02\x09\x01\x03\x00\x09\x01"))
	f.Add([]byte("\x00\x01\x00\x00\x06\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00\x03\x01\x04\x05"))
	f.Fuzz(func(t *testing.T, script []byte) {
		j, m := heap(t, 4, 8)
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		var recs [4]*Record
		for len(script) > 0 {
			op, slot := next(), uint32(next()%4)
			switch op % 10 {
			case 0:
				j.Publish(slot, uint32(op), flow(int(slot)))
			case 1:
				j.Withdraw(slot)
			case 2:
				if h, ok := j.Head(slot); ok {
					j.PrepareRecovery(slot, Base{}, h.Written/2, h.Written, 0)
				}
			case 3:
				j.Sweep()
			case 4:
				for range j.ReadLengths(slot) {
				}
			case 5:
				if rec, ok := m.Lookup(flow(int(slot))); ok && rec.Accept(policy.Compare(op&1)) {
					recs[slot] = rec
				}
			case 6: // anywhere, any eight bytes
				var w [8]byte
				for i := range w {
					w[i] = next()
				}
				at := int(binary.LittleEndian.Uint16(w[:2])) * 8 % len(m.r.mem)
				if at >= 64 { // both sides took their sizes from there at the start
					copy(m.r.mem[at:], w[:])
				}
			case 7: // a small number in a head, a page or the superblock: a plausible link
				places := []uint64{64, 128, 136, uint64(m.r.heads) + uint64(slot)*headSize + uint64(op)/8*4,
					uint64(m.r.pages) + uint64(next()%8)*pageSize}
				at := places[int(next())%len(places)]
				binary.NativeEndian.PutUint32(m.r.mem[at:], uint32(next()%12))
			case 8:
				if rec := recs[slot]; rec != nil {
					_ = rec.RecordInput(Kind(op), make([]byte, int(op/10)*100))
				}
			case 9:
				checkInputs(t, j.Inputs(slot))
			}
			j.Usage()
		}
		// The process dies; the next one starts from a clean slate.
		for slot := range uint32(4) {
			j.Withdraw(slot)
		}
		j.Sweep()
		if n := freePages(j); n != 8 {
			t.Fatalf("%d of 8 pages free after the sweep", n)
		}
		rec := accept(t, j, m, 2, policy.CompareStrict)
		rec.RecordRead(5)
		if h, ok := j.Head(2); !ok || h.State != Accepted || h.ReadRecords != 1 {
			t.Fatalf("an honest connection afterwards: %+v", h)
		}
	})
}

// FuzzInputs lets a hostile server process write any words where recorded inputs are.
func FuzzInputs(f *testing.F) {
	f.Add([]byte("\x08\x00\x00\x00\x01\x00\x00\x00\x01\x02\x00\x00\x05\x07"))
	f.Add([]byte("\xff\xff\xff\xff\x01\x00\x00\x00\x01\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, words []byte) {
		j, m := heap(t, 2, 8)
		rec := accept(t, j, m, 0, policy.CompareStrict)
		if err := rec.RecordInput(ReadTimeout, nil); err != nil {
			t.Fatal(err)
		}
		p := m.r.page(atomic.LoadUint32(&rec.h.inputPage))
		for i := range min(len(words)/4, pageWords) {
			p.words[i] = binary.NativeEndian.Uint32(words[4*i:])
		}
		checkInputs(t, j.Inputs(0))
		if err := j.PrepareRecovery(0, Base{}, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		rec = reaccept(t, m, 0, policy.CompareStrict)
		before := rec.Inputs()
		checkInputs(t, before)
		_ = rec.RecordInput(WriteTimeout, nil)
		if after := rec.Inputs(); len(after) < len(before) {
			t.Fatalf("%d inputs, %d before another one was recorded", len(after), len(before))
		}
	})
}

// checkInputs holds inputs to what the type promises.
func checkInputs(t *testing.T, list []Input) {
	t.Helper()
	size := 0
	for _, in := range list {
		if size += 8 + (2+len(in.Bytes)+3)/4*4; in.Count < 1 || in.In < 0 || in.Out < 0 || len(in.Bytes) > MaxInput {
			t.Fatalf("an input of %d bytes, %d times, at %d and %d", len(in.Bytes), in.Count, in.In, in.Out)
		}
	}
	if size > MaxInputs {
		t.Fatalf("%d inputs, %d bytes", len(list), size)
	}
}
