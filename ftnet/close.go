package ftnet

import (
	"context"
	"net"
	"time"

	"github.com/ftnet/ftnet/internal/control"
)

const reportTimeout = 5 * time.Second

// Close closes the connection. The client gets the end of the stream, or a
// reset after SetLinger(0).
//
// On a recovered connection that has not yet repeated what was written before
// the crash, an ordinary end would come in the middle of what the client
// has: the connection is reset and a *MismatchError returned.
func (c *Conn) Close() error {
	if !c.closing.CompareAndSwap(false, true) {
		return c.opError("close", net.ErrClosed)
	}
	if c.rewriting() && !c.abort.Load() {
		return c.endEarly()
	}
	c.interrupt()
	err := c.via.Close()
	c.release()
	return err
}

// endEarly resets a connection whose output ended before it had reached what was written
// before the crash.
func (c *Conn) endEarly() error {
	pos, end := c.replay.Output()
	m := &MismatchError{Offset: pos, End: end, Early: true}
	err := c.opError("close", m)
	c.report(m)
	c.reset()
	c.release()
	return err
}

// release gives the record up. Readers and writers have been woken by now.
func (c *Conn) release() {
	if c.rec == nil {
		return
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.releaseLocked()
}

// releaseLocked is release for those who hold writeMu.
func (c *Conn) releaseLocked() {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	c.unprotectMu.Lock()
	defer c.unprotectMu.Unlock()
	if !c.released {
		c.released = true
		c.rec.Release()
	}
}

// CloseRead shuts down the reading side.
func (c *Conn) CloseRead() error {
	c.readClosed.Store(true)
	return c.via.CloseRead()
}

// CloseWrite shuts down the writing side: the client gets the end of the
// stream and may continue to send. On a recovered connection it may fail like
// Close.
func (c *Conn) CloseWrite() error {
	if c.rewriting() && c.closing.CompareAndSwap(false, true) {
		return c.endEarly()
	}
	if c.closing.Load() {
		return c.opError("close", net.ErrClosed)
	}
	return c.via.CloseWrite()
}

// report tells the engine and the log about a mismatch. The connection is
// reset next, whether or not the engine answers.
func (c *Conn) report(m *MismatchError) {
	compare := c.rec.Compare()
	c.log.Error("ftnet: connection reset: the restarted handler's output differs",
		"client", c.tcp.RemoteAddr(), "offset", m.Offset, "end", m.End, "compare", compare, "reason", m)
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	err := c.via.Mismatch(ctx, control.Mismatch{Offset: m.Offset, Exact: m.Early || m.End == m.Offset+1, Compare: compare})
	if err != nil {
		c.log.Warn("ftnet: mismatch not reported", "error", err)
	}
}

// reset ends the connection with a RST.
func (c *Conn) reset() {
	c.interrupt()
	c.via.Abort() // whatever it says, the connection is gone
}

// interrupt wakes calls that wait for the log.
func (c *Conn) interrupt() {
	if c.cancel != nil {
		c.cancel()
	}
}
