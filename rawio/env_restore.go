package rawio

import (
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/south"
)

// What the core asks of its environment for connections that come from the log.

func (v *environment) Restore(slot, gen uint32, f Flow, reads []logserver.ReadRun) error {
	runs := make([]journal.ReadRun, len(reads))
	for i, r := range reads {
		runs[i] = journal.ReadRun(r)
	}
	return v.journal(slot).Restore(slot, gen, journal.Flow(f), runs)
}

// readsAtOnce is how many of a connection's reads are written to the log at once.
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

// readsPeriod is how often the log is told how servers have read, while some have.
const readsPeriod = 5 * time.Millisecond

// readsLoop tells a log that outlives the engine how servers have read.
func (e *Engine) readsLoop() {
	const rare = 20 * readsPeriod // while nobody reads
	period := rare
	for {
		select {
		case <-e.closing:
			return
		case <-time.After(period):
		}
		e.do(func(m *south.Machine) {
			copied, left := m.CopyReads()
			if period = rare; copied > 0 && left > 0 {
				period = readsPeriod
			} else if copied > 0 {
				period = 4 * readsPeriod
			}
		})
	}
}
