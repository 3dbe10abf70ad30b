package ftnet

import (
	"errors"
	"os"

	"github.com/ftnet/ftnet/internal/journal"
)

// That a deadline has passed is an input: the handler learns of the time by it. So it is recorded
// before the handler learns of it, with its place, and comes again in a replay. What the handler
// itself brings about is no input and comes by itself: a deadline long ago, and one that has passed
// and was not set again. (One that had just passed when it was set may have been ahead when the
// handler computed it.) Nor is one that another goroutine sets
// while a call waits, to wake it (net/http does it at each request): when that happens is a matter
// of the goroutines' order, which no record has.

// timedOut records that a call of the handler failed by its deadline, if it did. was is d.at from
// before the call. The lock of the call's side is held.
func (c *Conn) timedOut(kind journal.Kind, d *deadline, was int64, err error) {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.released || !d.expired(was) || c.rec.Overflowed() {
		return
	}
	if err := c.rec.RecordInput(kind, nil); err != nil {
		c.rec.Overflow()
		c.log.Warn("ftnet: connection is unprotected from here on", "client", c.tcp.RemoteAddr(), "reason", err)
	}
}

// goneBy is the error of a call whose deadline has passed.
func (c *Conn) goneBy(op string) error { return c.opError(op, os.ErrDeadlineExceeded) }
