package ftnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
)

// How a connection is rolled forward: what its replayer says is fetched and sent.

// rereading reports whether there is input that the handler has to read again.
func (c *Conn) rereading() bool { return c.replay != nil && c.replay.Reading() }

// rewriting reports whether there is output that the handler has to repeat.
func (c *Conn) rewriting() bool { return c.replay != nil && c.replay.Writing() }

// readReplay reads for a handler that is being rolled forward. c.readMu is
// held.
func (c *Conn) readReplay(p []byte) (int, error) {
	if err := c.readable(); err != nil || len(p) == 0 {
		return 0, err
	}
	n, err := c.fill(p, c.replay.NextRead(len(p)))
	if n == 0 {
		return 0, err
	}
	// What came before an error counts; the error comes again.
	c.replay.DidRead(n)
	return n, nil
}

// readable says what a read from the kernel would say before it looked for
// data.
func (c *Conn) readable() error {
	if c.closing.Load() {
		return c.opError("read", net.ErrClosed)
	}
	if c.readDeadline.passed() {
		return c.opError("read", os.ErrDeadlineExceeded)
	}
	if c.readClosed.Load() {
		return io.EOF
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
	for n < next.logged+next.live {
		k, err := c.via.Read(p[n : next.logged+next.live])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// fetch gets the log's next page, from the offset at on. It waits until the read deadline or
// Close.
func (c *Conn) fetch(at int64) error {
	ctx := c.ctx
	if d, ok := c.readDeadline.get(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d)
		defer cancel()
	}
	page, err := c.via.ReadLog(ctx, at)
	switch {
	case c.closing.Load():
		err = net.ErrClosed
	case errors.Is(err, context.DeadlineExceeded):
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
	if c.closing.Load() {
		return 0, c.opError("write", net.ErrClosed)
	}
	if c.writeDeadline.passed() {
		return 0, c.opError("write", os.ErrDeadlineExceeded)
	}
	n, m := c.replay.Write(p)
	if m != nil {
		return 0, c.mismatch(m)
	}
	if err := c.sendDue(); err != nil || n == len(p) {
		return n, err
	}
	live, err := c.writeLive(p[n:])
	return n + live, err
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
