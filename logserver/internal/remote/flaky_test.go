package remote_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// flaky cuts each connection after a random number of bytes, in the middle of
// whatever is under way.
type flaky struct {
	dial func(context.Context) (net.Conn, error)
	most int64 // bytes, of both directions together
	cuts atomic.Int64
	calm atomic.Bool // cut no more

	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func (f *flaky) connect(ctx context.Context) (net.Conn, error) {
	conn, err := f.dial(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &flakyConn{Conn: conn, f: f}
	// Few bytes as likely as many: greetings are cut, too.
	c.left.Store(f.rng.Int64N(1 + f.rng.Int64N(f.most)))
	return c, nil
}

type flakyConn struct {
	net.Conn
	f    *flaky
	left atomic.Int64
	once sync.Once
}

// pass returns how many of n bytes get through.
func (c *flakyConn) pass(n int) int {
	left := c.left.Add(-int64(n))
	if left >= 0 || c.f.calm.Load() {
		return n
	}
	return int(max(0, left+int64(n)))
}

func (c *flakyConn) cut() error {
	c.once.Do(func() { c.f.cuts.Add(1) })
	c.Conn.Close()
	return net.ErrClosed
}

func (c *flakyConn) Write(p []byte) (int, error) {
	n := c.pass(len(p))
	if n == len(p) {
		return c.Conn.Write(p)
	}
	_, _ = c.Conn.Write(p[:n])
	return n, c.cut()
}

func (c *flakyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if pass := c.pass(n); pass < n {
		return pass, c.cut()
	}
	return n, err
}
