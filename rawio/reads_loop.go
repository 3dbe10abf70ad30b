package rawio

import (
	"time"

	"github.com/ftnet/ftnet/rawio/internal/south"
)

// readsPeriod is how often the lengths of servers' reads are copied to the log, while there are any.
const readsPeriod = 5 * time.Millisecond

// readsLoop copies the lengths of servers' reads to a log that outlives the engine.
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
