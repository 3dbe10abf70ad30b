package storelog

import "github.com/ftnet/ftnet/logserver"

// What follows is for the tests of stores, of a log with Config.Manual. They are functions so
// that they are no methods of the logs that embed a Log.

// Step writes one batch of what waits.
func Step(l *Log) error { return l.step() }

// Pending reports whether something waits to be written.
func Pending(l *Log) bool { return l.pending() }

// Clean frees the segments that can be freed, and cleans those that are worth it.
func Clean(l *Log) { l.round() }

// ReadsEnd returns where the last recorded read of a connection ends, discarded ones included.
func ReadsEnd(l *Log, id logserver.ConnID) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.table.Get(id); c != nil && c.reads != nil {
		return c.reads.To
	}
	return 0
}
