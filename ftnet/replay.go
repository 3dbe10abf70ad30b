package ftnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/ftnet/ftnet/internal/journal"
)

// inputReplay serves a restarted handler's reads: [0, stable) from the log,
// what follows from the kernel's socket, cut into the lengths of the execution
// before as far as they were recorded.
type inputReplay struct {
	reads  *journal.Reads
	stable int64
	pos    int64  // what the handler has read
	buf    []byte // from the log, to come next
}

// logChunk is how much of the log is fetched at once.
const logChunk = 256 << 10

func newInputReplay(rec *journal.Record) *inputReplay {
	_, _, stable := rec.Bounds()
	r := &inputReplay{reads: rec.Reads(), stable: stable}
	if r.done() {
		return nil
	}
	return r
}

func (r *inputReplay) done() bool { return r.pos >= r.stable && r.reads.Left() == 0 }

// readReplay reads for a handler that is being rolled forward. c.readMu is
// held.
func (c *Conn) readReplay(p []byte) (int, error) {
	if err := c.readable(); err != nil || len(p) == 0 {
		return 0, err
	}
	r := c.input
	if r.done() {
		c.input = nil
		c.rereading.Store(false)
		return c.readLive(p)
	}
	recorded := r.reads.Left() > 0
	if recorded {
		// A smaller buffer than the first time leaves the rest of the read
		// for the next one.
		p = p[:min(len(p), r.reads.Left())]
	} else {
		p = p[:min(len(p), journal.MaxRead)]
	}
	n, err := c.fill(p, recorded)
	if n == 0 {
		return 0, err
	}
	// What came before an error counts; the error comes again.
	r.pos += int64(n)
	if recorded {
		r.reads.Consume(n)
	} else {
		c.rec.RecordRead(n)
	}
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

// fill reads into p from the log. If whole is set p is filled, from the
// kernel's socket where the log ends: the execution before had read those
// bytes, so the client has sent them, and sends them again if they were not
// acknowledged.
func (c *Conn) fill(p []byte, whole bool) (n int, err error) {
	r := c.input
	for n < len(p) {
		at := r.pos + int64(n)
		if at >= r.stable {
			break
		}
		if len(r.buf) == 0 {
			if err := c.fetch(at); err != nil {
				return n, err
			}
		}
		k := copy(p[n:], r.buf)
		r.buf = r.buf[k:]
		n += k
	}
	for whole && n < len(p) {
		k, err := c.tcp.Read(p[n:])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// fetch gets the log's next bytes, from the offset at.
func (c *Conn) fetch(at int64) error {
	r := c.input
	ctx := c.ctx
	if d, ok := c.readDeadline.get(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d)
		defer cancel()
	}
	buf := make([]byte, min(logChunk, r.stable-at))
	n, err := c.engine.session.ReadLog(ctx, c.memory, c.rec.Slot(), c.rec.Gen(), at, buf)
	switch {
	case c.closing.Load():
		err = net.ErrClosed
	case errors.Is(err, context.DeadlineExceeded):
		err = os.ErrDeadlineExceeded
	case err == nil && n == 0:
		err = fmt.Errorf("the log ends at offset %d of %d: %w", at, r.stable, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return c.opError("read", err)
	}
	r.buf = buf[:n]
	return nil
}

// outputReplay compares what a restarted handler writes with the record. What
// the client has acknowledged is discarded. Above that, nothing reaches the
// kernel before it is known to be what was written before: the client may
// have it although it has not said so.
type outputReplay struct {
	v    *journal.Verifier
	una  int64
	held []byte // output from max(una, what the kernel has) on
}

func newOutputReplay(rec *journal.Record) *outputReplay {
	v := rec.Verifier()
	if v.End() == 0 {
		return nil
	}
	una, _, _ := rec.Bounds()
	return &outputReplay{v: v, una: una}
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
	r := c.output
	start := r.v.Pos()
	part := p[:min(int64(len(p)), r.v.End()-start)]
	if m := r.v.Write(part); m != nil {
		return 0, c.mismatch(&MismatchError{Offset: m.Offset, End: m.End})
	}
	c.replayPos.Store(r.v.Pos())
	if skip := max(0, r.una-start); skip < int64(len(part)) {
		r.held = append(r.held, part[skip:]...)
	}
	if err := c.releaseHeld(); err != nil {
		return len(part), err
	}
	if r.v.Pos() < r.v.End() {
		return len(part), nil
	}
	c.output = nil
	c.replaying.Store(false)
	if len(part) == len(p) {
		return len(p), nil
	}
	n, err := c.writeLive(p[len(part):])
	return len(part) + n, err
}

// releaseHeld gives the kernel what has been verified. What it does not take
// before a deadline stays held.
func (c *Conn) releaseHeld() error {
	r := c.output
	k := len(r.held) - int(r.v.Pos()-r.v.Verified())
	if k <= 0 {
		return nil
	}
	n, err := c.tcp.Write(r.held[:k])
	r.held = r.held[:copy(r.held, r.held[n:])]
	return err
}

// mismatch resets the connection. c.writeMu is held.
func (c *Conn) mismatch(m *MismatchError) error {
	err := c.opError("write", m)
	c.closing.Store(true)
	c.report(m)
	c.reset()
	c.releaseLocked()
	return err
}
