package rawio

import (
	"net/netip"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/logserver"
)

// The environment's part for connections that come from the log.

func (v *environment) Restore(slot, gen uint32, f Flow, from int64, reads []logserver.ReadRun) error {
	runs := make([]journal.ReadRun, len(reads))
	for i, r := range reads {
		runs[i] = journal.ReadRun(r)
	}
	return v.journal(slot).Restore(slot, gen, journal.Flow(f), from, runs)
}

// readsAtOnce bounds how many of a connection's reads are written to the log at once.
const readsAtOnce = 512

func (v *environment) NewReads(slot uint32) (lengths []uint32, total int64) {
	if v.reads == nil {
		v.reads = make([]uint32, 0, readsAtOnce)
	}
	return v.journal(slot).NewReads(slot, v.reads[:0])
}

func (v *environment) Local(server netip.AddrPort) bool {
	if v.e.local(server.Addr()) {
		return true
	}
	transparent, err := v.e.gate.Transparent(server.Port())
	return err == nil && transparent
}
