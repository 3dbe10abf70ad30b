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
	tcp *net.TCPConn    // the kernel's socket: options, addresses
	via carrier         // its bytes
	rec *journal.Record // nil: unprotected
	log *slog.Logger

	// replay is what the handler has to repeat of the execution before; nil if there was none.
	// It is asked before each read and write, by an atomic load, and has no copy here.
	replay replayer

	// The two locks serialize reads and writes, as the kernel would anyway,
	// so that their record has an order. A holder may block in the kernel or
	// in a request to the engine; Close ends both. Where both are taken,
	// writeMu comes first.
	readMu   sync.Mutex // also for replay's input half
	writeMu  sync.Mutex // also for replay's output half
	released bool       // guarded by both: the record must not be touched
	page     []byte     // guarded by readMu: of the log, what the handler reads next

	// unprotectMu guards the record against those who hold neither lock.
	unprotectMu sync.Mutex

	closing    atomic.Bool // Close has been called, or the connection was reset
	abort      atomic.Bool // linger is 0: Close resets
	readClosed atomic.Bool

	readDeadline, writeDeadline deadline // as the carrier has them

	// For recovered connections, whose reads and writes may not reach the
	// kernel: what ends with Close.
	ctx    context.Context
	cancel context.CancelFunc
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
	if rec.Recovered() > 0 {
		c.repeat(newRecordReplayer(rec, c.via.Start()))
	}
}

// repeat makes the connection a recovered one.
func (c *Conn) repeat(r replayer) {
	c.replay = r
	c.ctx, c.cancel = context.WithCancel(context.Background())
}

// Recovered reports whether the connection comes from before a crash. It stays
// true after the connection has gone live.
func (c *Conn) Recovered() bool { return c.replay != nil }

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
	was := c.readDeadline.at.Load()
	n, err := c.read(p)
	if err != nil && len(p) > 0 {
		c.timedOut(journal.ReadTimeout, &c.readDeadline, was, err)
	}
	return n, err
}

func (c *Conn) read(p []byte) (int, error) {
	if err := c.usable("read", &c.readDeadline); err != nil {
		return 0, err
	}
	if !c.released && c.rereading() {
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
	n, err := c.via.Read(p)
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
	was := c.writeDeadline.at.Load()
	n, err := c.write(p)
	if err != nil && len(p) > 0 {
		c.timedOut(journal.WriteTimeout, &c.writeDeadline, was, err)
	}
	return n, err
}

func (c *Conn) write(p []byte) (int, error) {
	if err := c.usable("write", &c.writeDeadline); err != nil {
		return 0, err
	}
	if !c.released && c.rewriting() {
		return c.writeReplay(p)
	}
	return c.writeLive(p)
}

// writeLive records the output before the kernel gets it, and takes back what
// the kernel did not take.
func (c *Conn) writeLive(p []byte) (total int, err error) {
	if c.released {
		return c.via.Write(p) // says what net says of a closed connection
	}
	for {
		part := p
		if len(part) > maxWrite {
			part = part[:maxWrite]
		}
		c.rec.Intend(part)
		n, err := c.via.Write(part)
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
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of Read. A crash does not take it along: the restarted
// handler sets its own. Where a Read had failed because its deadline passed, that of the
// restarted handler fails at once, if it has a deadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.rec != nil {
		c.readDeadline.set(t)
	}
	return c.via.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of Write. It is repeated like that of Read where the client
// has output that was written after it had passed.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.rec != nil {
		c.writeDeadline.set(t)
	}
	return c.via.SetWriteDeadline(t)
}
