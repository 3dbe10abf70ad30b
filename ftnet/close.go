package ftnet

import (
	"context"
	"time"

	"github.com/ftnet/ftnet/internal/control"
)

// The priorities by which the engine's gate tells an end that the application
// meant from one that a crash causes. They travel with the packet itself
// (skb->priority), so there is no message and no race.
const (
	priorityShut  = 5 // CloseWrite
	priorityClose = 3 // Close, or an abort
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
		return c.tcp.Close()
	}
	var mismatch error
	if c.replaying.Load() && !c.abort.Load() {
		mismatch = c.opError("close", c.early())
	}
	if c.engine != nil {
		setPriority(c.tcp, priorityClose)
	}
	if mismatch != nil {
		c.tcp.SetLinger(0)
	} else if c.rec != nil {
		c.rec.Closing()
	}
	if c.cancel != nil {
		c.cancel()
	}
	err := c.tcp.Close()
	c.release()
	if mismatch != nil {
		return mismatch
	}
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
		c.input, c.output = nil, nil
		c.rec.Release()
	}
}

// CloseRead shuts down the reading side.
func (c *Conn) CloseRead() error {
	c.readClosed.Store(true)
	return c.tcp.CloseRead()
}

// CloseWrite shuts down the writing side: the client gets the end of the
// stream and may go on sending. On a recovered connection it may fail like
// Close.
func (c *Conn) CloseWrite() error {
	if c.replaying.Load() && c.closing.CompareAndSwap(false, true) {
		err := c.opError("close", c.early())
		c.reset()
		c.release()
		return err
	}
	if c.engine != nil && !c.closing.Load() {
		setPriority(c.tcp, priorityShut)
	}
	return c.tcp.CloseWrite()
}

// early reports an output that ended before it had reached what was written
// before the crash.
func (c *Conn) early() error {
	m := &MismatchError{Offset: c.replayPos.Load(), End: c.replayEnd, Early: true}
	c.report(m)
	return m
}

// report tells the engine and the log about a mismatch. The connection is
// reset next, whether or not the engine answers.
func (c *Conn) report(m *MismatchError) {
	compare := Compare(c.rec.Compare())
	c.log.Error("ftnet: connection reset, the restarted handler did not repeat itself",
		"client", c.tcp.RemoteAddr(), "offset", m.Offset, "end", m.End, "compare", compare, "reason", m)
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	err := c.engine.session.Mismatch(ctx, c.memory, control.Mismatch{
		Slot: c.rec.Slot(), Gen: c.rec.Gen(), Offset: m.Offset,
		Exact: m.Early || m.End == m.Offset+1, Compare: compare.String(),
	})
	if err != nil {
		c.log.Warn("ftnet: mismatch not reported", "error", err)
	}
}

// reset ends the connection with a RST that the gate lets pass.
func (c *Conn) reset() {
	setPriority(c.tcp, priorityClose)
	c.tcp.SetLinger(0)
	if c.cancel != nil {
		c.cancel()
	}
	c.tcp.Close()
}
