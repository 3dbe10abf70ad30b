package remote_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// breakable is a network that a test breaks.
type breakable struct {
	dial   func(context.Context) (net.Conn, error)
	frozen atomic.Bool // nothing arrives, and nobody is told

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func (n *breakable) connect(ctx context.Context) (net.Conn, error) {
	if n.frozen.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	conn, err := n.dial(ctx)
	if err == nil {
		conn = &frozenConn{conn, n}
		n.mu.Lock()
		n.conns = append(n.conns, conn)
		n.mu.Unlock()
	}
	return conn, err
}

func (n *breakable) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		conn.Close()
	}
	n.conns = nil
}

type frozenConn struct {
	net.Conn
	n *breakable
}

func (c *frozenConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.n.frozen.Load() {
			return n, err
		}
	}
}

func (c *frozenConn) Write(p []byte) (int, error) {
	if c.n.frozen.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestFrozen: a network that swallows everything is noticed in a while, and
// nothing is lost.
func TestFrozen(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	b.stop()
	b.server.Silence = 300 * time.Millisecond
	b.start()
	network := &breakable{dial: b.dial}
	cfg := b.client
	cfg.Dial, cfg.Silence, cfg.DialTimeout = network.connect, 300*time.Millisecond, 300*time.Millisecond
	l := b.openWith(cfg)
	defer l.Close()
	id := begin(t, l, 1, 1000)
	network.frozen.Store(true)
	if n, err := l.Write(id, 1000, logtest.Pattern(make([]byte, 1000), 1, 1000)); n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	began := time.Now()
	soon(t, "it is noticed", func() bool { return l.Status()&logserver.Unreachable != 0 })
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("noticed after %v", d)
	}
	network.frozen.Store(false)
	stable(t, l, id, 2000)
}

// TestUnreachable: without a server the log says so, and begins when there is
// one.
func TestUnreachable(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	b.stop()
	cfg := b.client
	cfg.Timeout, cfg.CloseTimeout = 50*time.Millisecond, 50*time.Millisecond
	l, err := remote.Dial(cfg)
	must(t, err)
	var told statuses
	l.SetStatusUpcall(told.add)
	must(t, l.RegisterService(0))
	if s := l.Status(); s != logserver.Unreachable {
		t.Errorf("status is %v", s)
	}
	_, err = l.Open(logtest.Example(1))
	_, activeErr := l.Active(0, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for _, err := range []error{err, activeErr, l.Wait(ctx)} {
		if !errors.Is(err, logserver.ErrUnreachable) {
			t.Error(err)
		}
	}
	b.start()
	must(t, l.Wait(context.Background()))
	id := begin(t, l, 1, 1000)
	if told.last() != logserver.OK || l.Status() != logserver.OK {
		t.Errorf("status is %v, told %v", l.Status(), told.list)
	}

	b.stop()
	soon(t, "it is told", func() bool { return told.last() == logserver.Unreachable })
	if n, err := l.Write(id, 1000, make([]byte, 10)); n != 10 || err != nil {
		t.Error(n, err)
	}
	other, err := l.Open(logtest.Example(2)) // has a number of its own
	must(t, err)
	must(t, l.Rebase(id, logserver.Base{In: 500}))
	b.start()
	stable(t, l, id, 1010)
	write(t, l, other, 0, 10)
	if from, _, err := b.store.Length(id); err != nil || from != 500 {
		t.Errorf("the store has data from %d, %v", from, err)
	}

	b.stop()
	soon(t, "it is told", func() bool { return told.last() == logserver.Unreachable })
	_, err = l.Write(id, 1010, []byte("x"))
	must(t, err)
	if err := l.Close(); !errors.Is(err, logserver.ErrUnreachable) {
		t.Errorf("Close with data that is not stable: %v", err)
	}

	never, err := remote.Dial(b.client)
	must(t, err)
	must(t, never.Close())
}
