package ftnet

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
)

// Conn is a TCP connection that survives a crash of the process. It behaves
// like a *net.TCPConn; multiple goroutines may call its methods.
type Conn struct {
	tcp       *net.TCPConn
	rec       *journal.Record // nil: unprotected
	engine    *engine         // nil: plain listener
	memory    uint64          // number of the record's journal
	log       *slog.Logger
	recovered bool

	// The two locks serialize reads and writes, as the kernel would anyway,
	// so that their record has an order. A holder may block in the kernel or
	// in a request to the engine; Close ends both. Where both are taken,
	// writeMu comes first.
	readMu   sync.Mutex
	input    *inputReplay // guarded by readMu; nil when live
	writeMu  sync.Mutex
	output   *outputReplay // guarded by writeMu; nil when live
	released bool          // guarded by both: the record must not be touched

	// unprotectMu guards the record against those who hold neither lock.
	unprotectMu sync.Mutex

	// These mirror input != nil, output != nil and output's position, for
	// those who must not wait for a reader or writer.
	rereading atomic.Bool
	replaying atomic.Bool
	replayPos atomic.Int64
	replayEnd int64

	closing    atomic.Bool // Close has been called, or the connection was reset
	abort      atomic.Bool // linger is 0: Close resets
	readClosed atomic.Bool

	// For recovered connections, whose reads and writes may not reach the
	// kernel: the deadlines, and what ends with Close.
	readDeadline, writeDeadline deadline
	ctx                         context.Context
	cancel                      context.CancelFunc
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)

// maxWrite is how much output is recorded before the kernel gets it: the
// record of one step still lies in the processor's cache when it is sent.
const maxWrite = 256 << 10

// adopt starts keeping the record, and rolling forward if there is one.
func (c *Conn) adopt(rec *journal.Record) {
	c.rec = rec
	if rec.Recovered() == 0 {
		return
	}
	c.recovered = true
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.input = newInputReplay(rec)
	c.rereading.Store(c.input != nil)
	c.output = newOutputReplay(rec)
	if c.output != nil {
		c.replayEnd = c.output.v.End()
		c.replaying.Store(true)
	}
}

// Recovered reports whether the connection comes from before a crash. It stays
// true after the connection has gone live.
func (c *Conn) Recovered() bool { return c.recovered }

// Protected reports whether the connection would survive a crash now: the
// engine knows it and its record is complete. It does not notice that the
// engine itself is gone, and does not know whether one that has come back has
// taken the connection over.
func (c *Conn) Protected() bool {
	return c.rec != nil && !c.closing.Load() && !c.rec.Overflowed()
}

// Read reads data from the connection, at most 1 MiB-1 at once.
func (c *Conn) Read(p []byte) (int, error) {
	if c.rec == nil {
		return c.tcp.Read(p)
	}
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.input != nil {
		return c.readReplay(p)
	}
	return c.readLive(p)
}

// readLive reads from the kernel and records the length before the caller can
// act on the bytes.
func (c *Conn) readLive(p []byte) (int, error) {
	if len(p) > journal.MaxRead {
		p = p[:journal.MaxRead]
	}
	n, err := c.tcp.Read(p)
	if n > 0 && !c.released {
		c.rec.RecordRead(n)
	}
	return n, err
}

// Write writes data to the connection.
func (c *Conn) Write(p []byte) (int, error) {
	if c.rec == nil {
		return c.tcp.Write(p)
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.output != nil && !c.released {
		return c.writeReplay(p)
	}
	return c.writeLive(p)
}

// writeLive records the output before the kernel gets it, and takes back what
// the kernel did not take.
func (c *Conn) writeLive(p []byte) (total int, err error) {
	if c.released {
		return c.tcp.Write(p) // says what net says of a closed connection
	}
	for {
		part := p
		if len(part) > maxWrite {
			part = part[:maxWrite]
		}
		c.rec.Intend(part)
		n, err := c.tcp.Write(part)
		if n == len(part) {
			c.rec.Commit()
		} else {
			c.rec.Rollback(part, n)
		}
		total += n
		p = p[n:]
		if err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// LocalAddr returns the local network address, a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.tcp.LocalAddr() }

// RemoteAddr returns the client's network address, a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.tcp.RemoteAddr() }

// SetDeadline sets the read and write deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.keepDeadline(&c.readDeadline, t)
	c.keepDeadline(&c.writeDeadline, t)
	return c.tcp.SetDeadline(t)
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.keepDeadline(&c.readDeadline, t)
	return c.tcp.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.keepDeadline(&c.writeDeadline, t)
	return c.tcp.SetWriteDeadline(t)
}

func (c *Conn) keepDeadline(d *deadline, t time.Time) {
	if c.recovered {
		d.set(t)
	}
}
