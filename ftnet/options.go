package ftnet

import (
	"net"
	"syscall"
	"time"
)

// The options of net.TCPConn.

// SetNoDelay controls whether the kernel delays small writes (Nagle's
// algorithm). The default is true: no delay.
func (c *Conn) SetNoDelay(noDelay bool) error { return c.tcp.SetNoDelay(noDelay) }

// SetKeepAlive sets whether the kernel sends keep-alive messages.
func (c *Conn) SetKeepAlive(keepalive bool) error { return c.tcp.SetKeepAlive(keepalive) }

// SetKeepAlivePeriod sets the time between keep-alive messages.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error { return c.tcp.SetKeepAlivePeriod(d) }

// SetKeepAliveConfig configures keep-alive messages.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.tcp.SetKeepAliveConfig(config)
}

// SetReadBuffer sets the size of the kernel's receive buffer in bytes.
func (c *Conn) SetReadBuffer(bytes int) error { return c.tcp.SetReadBuffer(bytes) }

// SetWriteBuffer sets the size of the kernel's send buffer in bytes.
func (c *Conn) SetWriteBuffer(bytes int) error { return c.tcp.SetWriteBuffer(bytes) }

// SetLinger sets what Close does with data not yet sent or acknowledged, as
// with net.TCPConn. With 0 it discards them and resets the connection.
func (c *Conn) SetLinger(sec int) error {
	err := c.tcp.SetLinger(sec)
	if err == nil {
		c.abort.Store(sec == 0)
	}
	return err
}

// SyscallConn returns the raw socket. Control is free to use, but for
// SO_PRIORITY. Read and Write go around the record: they make the connection
// unprotected from then on, and fail with ErrReplaying while it is being
// rolled forward.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.tcp.SyscallConn()
	if err != nil || c.rec == nil {
		return raw, err
	}
	return &rawConn{RawConn: raw, c: c}, nil
}

type rawConn struct {
	syscall.RawConn
	c *Conn
}

func (r *rawConn) Read(f func(fd uintptr) bool) error {
	if err := r.c.unprotect("raw-read"); err != nil {
		return err
	}
	return r.RawConn.Read(f)
}

func (r *rawConn) Write(f func(fd uintptr) bool) error {
	if err := r.c.unprotect("raw-write"); err != nil {
		return err
	}
	return r.RawConn.Write(f)
}

// unprotect gives up the record of a connection that is used behind its back.
func (c *Conn) unprotect(op string) error {
	if c.rereading() || c.rewriting() {
		return c.opError(op, ErrReplaying)
	}
	c.unprotectMu.Lock()
	defer c.unprotectMu.Unlock()
	if !c.closing.Load() { // the record is released after that, under the lock
		c.rec.Overflow()
	}
	return nil
}
