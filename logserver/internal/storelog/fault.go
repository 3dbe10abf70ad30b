package storelog

import (
	"errors"
	"sync/atomic"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// counters count what an operator may want to know.
type counters struct {
	batches, faults, cleaned, copied        atomic.Int64
	lostRecords, lostConns, lostBytes, torn atomic.Int64
	readErrors                              atomic.Int64
}

// Counters is what a log has counted since it was opened.
type Counters struct {
	// Batches is how many times something was made stable, Faults how many
	// times that failed.
	Batches, Faults int64
	// Cleaned is how many segments the cleaner has emptied, Copied how many bytes
	// it has copied for that.
	Cleaned, Copied int64
	// LostRecords is how many damaged places were found when the log was
	// opened, LostConns how many connections have lost something, LostBytes
	// how many bytes of their data were stable and are not there, or not usable,
	// as far as that is known. Torn is how many bytes were dropped that had
	// not become stable when the log ended.
	LostRecords, LostConns, LostBytes, Torn int64
	// ReadErrors is how many reads failed for a damaged record or the device.
	ReadErrors int64
}

// Counters returns what the log has counted.
func (l *Log) Counters() Counters {
	c := &l.counters
	return Counters{
		c.batches.Load(), c.faults.Load(), c.cleaned.Load(), c.copied.Load(),
		c.lostRecords.Load(), c.lostConns.Load(), c.lostBytes.Load(), c.torn.Load(), c.readErrors.Load(),
	}
}

// fail takes note that something could not be written. It will be tried again.
func (l *Log) fail(err error) {
	if errors.Is(err, store.ErrWait) {
		return // for the cleaner
	}
	l.counters.faults.Add(1)
	first := !l.writer.failing
	l.writer.failing = true
	if !errors.Is(err, store.ErrFull) {
		l.space.status.Set(logserver.Failed)
	}
	if first {
		l.cfg.Warn("the log cannot be written; what is taken waits in memory", "error", err)
	}
	l.space.check()
}

// worked takes note that something was written, not in the store's reserve.
func (l *Log) worked() {
	if !l.writer.failing {
		return
	}
	l.writer.failing = false
	l.space.status.Unset(logserver.Failed)
	l.cfg.Info("the log can be written again")
	l.space.check()
}
