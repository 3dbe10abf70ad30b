package logbench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Load is how the connections of one measurement write.
type Load struct {
	Conns  int
	Size   int   // bytes of one write
	Window int64 // bytes that one connection may have written without their being stable
}

func (l Load) String() string {
	return fmt.Sprintf("%d conn, %s writes, %s window", l.Conns, size(int64(l.Size)), size(l.Window))
}

func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// stuckLimit ends a measurement in which nothing gets stable any more.
const stuckLimit = time.Minute

// feed is a log with connections that write to it.
type feed struct {
	log   logserver.Log
	conns []*conn
	wake  chan struct{}
	bytes []byte // what is written: nothing that could be compressed
	next  int    // connection whose turn it is
}

// conn is one connection. Its tag is its index in feed.conns.
type conn struct {
	id     logserver.ConnID
	taken  int64
	stable atomic.Int64

	mu    sync.Mutex // guards the fields below
	marks []mark     // in the order of their offsets
	delay []time.Duration
}

// mark is a write whose delay is measured.
type mark struct {
	end int64
	at  time.Time
}

var server = netip.MustParseAddrPort("192.0.2.1:7000")

// newFeed opens n connections in the log and makes the log tell it what is
// stable.
func newFeed(log logserver.Log, n int) (*feed, error) {
	f := &feed{log: log, conns: make([]*conn, n), wake: make(chan struct{}, 1), bytes: make([]byte, 2<<20)}
	random := rand.NewChaCha8([32]byte{1})
	random.Read(f.bytes)
	for i := range f.conns {
		f.conns[i] = new(conn)
	}
	log.SetUpcall(f.upcall)
	if err := log.RegisterService(0); err != nil {
		return nil, err
	}
	for i, c := range f.conns {
		id, err := log.Open(logserver.Meta{
			Tag: uint64(i), Service: "bench", Handshake: make([]byte, 50),
			Flow: logserver.Flow{Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i >> 8)}), uint16(1024+i)), Server: server},
		})
		if err != nil {
			return nil, err
		}
		c.id = id
	}
	return f, nil
}

func (f *feed) upcall(list []logserver.Upcall) {
	now := time.Now()
	for _, u := range list {
		if u.Tag >= uint64(len(f.conns)) {
			continue // left over from an earlier feed
		}
		f.conns[u.Tag].raise(u.Stable, now)
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (c *conn) raise(stable int64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stable <= c.stable.Load() {
		return
	}
	n := 0
	for ; n < len(c.marks) && c.marks[n].end <= stable; n++ {
		c.delay = append(c.delay, now.Sub(c.marks[n].at))
	}
	c.marks = slices.Delete(c.marks, 0, n)
	c.stable.Store(stable)
}

// write writes n more bytes to a connection. It returns how many the log took,
// which are less, without an error, when its buffer is full.
func (f *feed) write(c *conn, n int, marked bool) (int, error) {
	if marked {
		c.mu.Lock()
		c.marks = append(c.marks, mark{c.taken + int64(n), time.Now()})
		c.mu.Unlock()
	}
	from := c.taken % (1 << 20)
	took, err := f.log.Write(c.id, c.taken, f.bytes[from:from+int64(n)])
	c.taken += int64(took)
	if full, ok := errors.AsType[*logserver.QuotaError](err); ok && full.Scope == logserver.ScopeBuffer {
		err = f.wait()
	}
	return took, err
}

// run writes as the load says until the time is over or that many bytes are
// written, waits until all is stable, and returns the bytes and the time.
func (f *feed) run(l Load, limit int64, d time.Duration) (written int64, took time.Duration, err error) {
	every := max(1, 16384/l.Size/len(f.conns)) // marking each small write would be measured too
	start := time.Now()
	for n := 0; written < limit && (n%64 != 0 || time.Since(start) < d); n++ {
		c := f.ready(int64(l.Size), l.Window)
		if c == nil {
			if err := f.wait(); err != nil {
				return 0, 0, err
			}
			continue
		}
		took, err := f.write(c, int(min(int64(l.Size), limit-written)), n%every == 0)
		if err != nil {
			return 0, 0, err
		}
		written += int64(took)
	}
	err = f.settle()
	return written, time.Since(start), err
}

// ready returns the next connection whose window has room, if there is one.
func (f *feed) ready(n, window int64) *conn {
	for range f.conns {
		f.next = (f.next + 1) % len(f.conns)
		if c := f.conns[f.next]; c.taken+n-c.stable.Load() <= window {
			return c
		}
	}
	return nil
}

// wait waits for an upcall.
func (f *feed) wait() error {
	select {
	case <-f.wake:
		return nil
	default:
	}
	late := time.NewTimer(stuckLimit)
	defer late.Stop()
	select {
	case <-f.wake:
		return nil
	case <-late.C:
		return fmt.Errorf("no upcall for %v; status %v", stuckLimit, f.log.Status())
	}
}

// settle waits until all that was written is stable.
func (f *feed) settle() error {
	for _, c := range f.conns {
		for c.stable.Load() < c.taken {
			if err := f.wait(); err != nil {
				return err
			}
		}
	}
	return nil
}

// end deletes the connections and returns how long marked writes took to be
// stable.
func (f *feed) end() ([]time.Duration, error) {
	var all []time.Duration
	for _, c := range f.conns {
		if err := f.log.Delete(c.id); err != nil {
			return nil, err
		}
		c.mu.Lock()
		all = append(all, c.delay...)
		c.mu.Unlock()
	}
	slices.Sort(all)
	return all, nil
}
