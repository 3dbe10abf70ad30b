package ftnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// How a connection is rolled forward: what its replayer says is fetched and sent.

// replayPatience is how long a read of a replay waits at least. What it waits for is known to
// come, and the execution before had no time-out there, or it would be repeated: a replay that is slower
// than the client was must not have one.
var replayPatience = 10 * time.Second // changed by tests

// rereading reports whether there is input that the handler has to read again.
func (c *Conn) rereading() bool { return c.replay != nil && c.replay.Reading() }

// rewriting reports whether there is output that the handler has to repeat.
func (c *Conn) rewriting() bool { return c.replay != nil && c.replay.Writing() }

// readReplay reads for a handler that is being rolled forward. c.readMu is
// held.
func (c *Conn) readReplay(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	next := c.replay.NextRead(len(p))
	for next.timeout {
		c.replay.DidRead(0)
		if c.readDeadline.expire() {
			return 0, c.goneBy("read")
		}
		// This handler cannot have a time-out here: it has set no deadline.
		if !c.replay.Reading() {
			return c.readLive(p)
		}
		next = c.replay.NextRead(len(p))
	}
	if c.readClosed.Load() {
		return 0, io.EOF
	}
	n, err := c.fill(p, next)
	if n == 0 {
		return 0, err
	}
	// What came before an error counts; the error comes again.
	c.replay.DidRead(n)
	return n, nil
}

// usable says of a recovered connection what the kernel would say before it looked at anything
// else. A deadline that had passed in the execution before has passed here, whatever the kernel's
// clock says; one that is ahead ends only what waits.
func (c *Conn) usable(op string, d *deadline) error {
	switch {
	case c.replay == nil:
		return nil
	case c.closing.Load():
		return c.opError(op, net.ErrClosed)
	case d.passed():
		return c.goneBy(op)
	}
	return nil
}

// fill reads all of a portion into p.
func (c *Conn) fill(p []byte, next portion) (n int, err error) {
	for n < next.logged {
		if len(c.page) == 0 {
			if err := c.fetch(next.at + int64(n)); err != nil {
				return n, err
			}
		}
		k := copy(p[n:next.logged], c.page)
		n += k
		if c.page = c.page[k:]; len(c.page) == 0 {
			c.page = nil // it may be large
		}
	}
	if _, ok := c.readDeadline.get(); ok && next.live > 0 {
		c.via.SetReadDeadline(c.patientDeadline())
		defer c.restoreDeadline()
	}
	for n < next.logged+next.live {
		k, err := c.via.Read(p[n : next.logged+next.live])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// restoreDeadline gives the carrier the handler's read deadline again, which may be set meanwhile.
func (c *Conn) restoreDeadline() {
	for at := int64(-1); at != c.readDeadline.at.Load(); {
		at = c.readDeadline.at.Load()
		d, _ := c.readDeadline.get()
		c.via.SetReadDeadline(d)
	}
}

// patientDeadline is the read deadline, if there is one, but for replayPatience.
func (c *Conn) patientDeadline() time.Time {
	d, _ := c.readDeadline.get()
	if p := time.Now().Add(replayPatience); p.After(d) {
		return p
	}
	return d
}

// fetch gets the log's next page, from the offset at on. It waits until the patient deadline,
// one that is set meanwhile and has passed, or Close.
func (c *Conn) fetch(at int64) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	if _, ok := c.readDeadline.get(); ok {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, c.patientDeadline())
		defer stop()
	}
	defer c.readDeadline.whenPassed(cancel)()
	page, err := c.via.ReadLog(ctx, at)
	switch {
	case c.closing.Load():
		err = net.ErrClosed
	case errors.Is(err, context.DeadlineExceeded), err != nil && c.readDeadline.gone():
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		return c.opError("read", err)
	}
	c.page = page
	return nil
}

// writeReplay writes for a handler that is being rolled forward. c.writeMu is
// held.
func (c *Conn) writeReplay(p []byte) (int, error) {
	for total := 0; ; {
		n, timeout, m := c.replay.Write(p)
		if m != nil {
			return total, c.mismatch(m)
		}
		total, p = total+n, p[n:]
		timeout = timeout && c.writeDeadline.expire()
		if err := c.sendDue(); err != nil {
			return total, err
		}
		switch {
		case timeout:
			return total, c.goneBy("write")
		case len(p) == 0:
			return total, nil
		case !c.replay.Writing():
			live, err := c.writeLive(p)
			return total + live, err
		}
		// This handler cannot have a time-out here: it has set no deadline.
	}
}

// sendDue sends what has been verified. What is not taken before a deadline stays due.
func (c *Conn) sendDue() error {
	if !c.replay.Writing() {
		return nil
	}
	due := c.replay.Due()
	if len(due) == 0 {
		return nil
	}
	n, err := c.via.Write(due)
	c.replay.Sent(n)
	return err
}

// mismatch resets the connection. c.writeMu is held.
func (c *Conn) mismatch(m *MismatchError) error {
	if !c.closing.CompareAndSwap(false, true) {
		return c.opError("write", net.ErrClosed)
	}
	err := c.opError("write", m)
	c.report(m)
	c.reset()
	c.releaseLocked()
	return err
}
