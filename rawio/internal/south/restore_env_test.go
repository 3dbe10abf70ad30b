package south_test

import (
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// The journal's part of a recovery from the log alone.

func (e *fakeEnv) Restore(slot, gen uint32, flow segment.Flow, from int64, reads []logserver.ReadRun) error {
	if e.unrecorded {
		return errNoHead
	}
	h := &head{gen: gen, flow: flow, from: from}
	for _, r := range reads {
		for range r.Count {
			h.reads = append(h.reads, int(r.Length))
		}
	}
	h.told = len(h.reads)
	e.heads[slot] = h
	return nil
}

func (e *fakeEnv) NewReads(slot uint32) (lengths []uint32, total int64) {
	h := e.heads[slot]
	if h == nil {
		return nil, 0
	}
	for _, n := range h.reads[h.told:] {
		lengths = append(lengths, uint32(n))
	}
	h.told = len(h.reads)
	total = h.from
	for _, n := range h.reads {
		total += int64(n)
	}
	return lengths, total
}

func (e *fakeEnv) Local(netip.AddrPort) bool { return true }
func (e *fakeEnv) Ending(uint16) bool        { return e.ending != nil && e.ending() }

func (e *benchEnv) Restore(uint32, uint32, segment.Flow, int64, []logserver.ReadRun) error {
	return nil
}
func (e *benchEnv) NewReads(uint32) ([]uint32, int64) { return nil, 0 }
func (e *benchEnv) Local(netip.AddrPort) bool         { return true }
func (e *benchEnv) Ending(uint16) bool                { return false }

func (e *fakeEnv) Adopt(slot, gen uint32, flow segment.Flow, read int64) error {
	h := e.heads[slot]
	if e.unrecorded || h == nil || h.gen != gen || h.flow != flow {
		return errNoHead
	}
	h.told = 0
	read -= h.from
	for _, n := range h.reads {
		if read <= 0 {
			break
		}
		read -= int64(n)
		h.told++
	}
	if read != 0 {
		return errNoHead
	}
	return nil
}

func (e *benchEnv) Adopt(uint32, uint32, segment.Flow, int64) error { return nil }
