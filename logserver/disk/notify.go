package disk

import "github.com/ftnet/ftnet/logserver"

// tell makes an upcall. The writer makes it itself, between two batches: a
// goroutine that had to be woken for it would cost more than the call does, and
// be later. No lock is held.
func (l *Log) tell(news []logserver.Upcall) {
	if f := l.up.Load(); len(news) > 0 && f != nil && *f != nil {
		(*f)(news)
	}
}
