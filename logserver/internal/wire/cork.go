package wire

import (
	"net"
	"sync"
	"syscall"
)

// corkSize is how much a Cork gathers at most, in bytes: four records, which is as
// much as TCP sends in one packet to a device that segments it. More would leave
// the cache before it is sent.
const corkSize = 66 << 10

// Cork is a connection under TLS. Records are written to it one by one; between
// Hold and Release they are gathered, so that a batch costs one system call
// rather than one for every 16 KiB.
type Cork struct {
	net.Conn
	raw  syscall.RawConn // nil if there is no socket
	mu   sync.Mutex      // guards what follows: TLS may also write while it reads
	held bool
	buf  []byte
}

// NewCork returns one that gathers nothing.
func NewCork(conn net.Conn) *Cork {
	c := &Cork{Conn: conn}
	if s, ok := conn.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // without it nothing is seen to arrive
	}
	return c
}

// Arrived reports whether something can be read without waiting. False may
// also mean that it is not known.
func (c *Cork) Arrived() bool {
	n := 0
	return c.raw != nil && c.raw.Control(func(fd uintptr) { n = arrived(int(fd)) }) == nil && n > 0
}

// Hold begins to gather.
func (c *Cork) Hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

// Release writes what was gathered.
func (c *Cork) Release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	return c.flush()
}

func (c *Cork) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

// Write implements net.Conn.
func (c *Cork) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return c.Conn.Write(p)
	}
	if len(c.buf)+len(p) > corkSize {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if c.buf == nil {
		c.buf = make([]byte, 0, corkSize)
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}
