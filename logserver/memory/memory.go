// Package memory is the log in the memory of its process: it survives the
// server's process, not its own.
package memory

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// Config sets the memory backend's limits. The zero value is usable.
type Config struct {
	// QuotaTotal is the number of bytes that the log may occupy, rounding
	// and bookkeeping included. Default 1 GiB; ftnet's commands pass a
	// quarter of the memory.
	QuotaTotal int64
	// LowSpace is the number of occupied bytes from which on the status has
	// the flag LowSpace. Default seven eighths of QuotaTotal.
	LowSpace int64
	// Reserve is the number of bytes of memory that, once used, stay with the
	// log for its next connections instead of going back to the kernel, which
	// would have to clear them again. At least 32 MiB are kept. As much may
	// wait to be wiped, beside what the log occupies. Default a quarter of
	// QuotaTotal.
	Reserve int64
}

func (c Config) withDefaults() Config {
	if c.QuotaTotal == 0 {
		c.QuotaTotal = 1 << 30
	}
	if c.LowSpace == 0 {
		c.LowSpace = c.QuotaTotal - c.QuotaTotal/8
	}
	if c.Reserve == 0 {
		c.Reserve = c.QuotaTotal / 4
	}
	return c
}

func (c Config) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"QuotaTotal", c.QuotaTotal}, {"LowSpace", c.LowSpace}, {"Reserve", c.Reserve}} {
		if f.value < 0 {
			return fmt.Errorf("%w: Config.%s is %d", logserver.ErrInvalid, f.name, f.value)
		}
	}
	return nil
}

// Log is the log that lives in the memory of its process. Data is stable
// as soon as it is copied: the upcall comes from inside Write, once for each
// call that adds something. Client data is kept outside the Go heap, taken and
// reused in chunks of 256 B to 1 MiB. When it is deleted, or its whole chunk
// discarded, it is wiped: little at once, more in the background, where a GiB
// may take half a minute while the log is busy, unless it is overwritten before.
type Log struct {
	cfg   Config
	arena arena
	wiper wiper
	space space
	up    table.Upcalls
	// busy counts who uses chunks outside a connection's lock. It is raised
	// under that lock while the connection is not gone, so that Close, which
	// makes all connections gone, can wait for it.
	busy sync.WaitGroup

	mu      sync.RWMutex // guards the fields below; taken before a conn's mu, never after
	ports   table.Ports
	table   table.Table[*conn]
	numbers table.Numbers
	closed  bool
}

var (
	_ logserver.Log       = (*Log)(nil)
	_ logserver.Immediate = (*Log)(nil)
)

// Immediate implements logserver.Immediate: no method waits.
func (m *Log) Immediate() bool { return true }

// New returns an empty log. config may be nil.
func New(config *Config) (*Log, error) {
	var cfg Config
	if config != nil {
		cfg = *config
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m := &Log{cfg: cfg}
	m.arena.keep = int(cfg.Reserve / slabSize)
	m.wiper.arena, m.wiper.limit = &m.arena, cfg.Reserve
	m.space.limit, m.space.low = cfg.QuotaTotal, cfg.LowSpace
	return m, nil
}

// RegisterService implements logserver.Log.
func (m *Log) RegisterService(port uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return logserver.ErrClosed
	}
	m.ports.Register(port)
	return nil
}

// Open implements logserver.Log.
func (m *Log) Open(meta logserver.Meta) (logserver.ConnID, error) {
	if err := meta.Validate(); err != nil {
		return 0, err
	}
	c := &conn{id: meta.ID}
	c.info.Begin()
	c.info.Set(&meta)
	err := m.open(c, meta.Server.Port())
	m.space.check()
	if err != nil {
		return 0, err
	}
	m.tell(logserver.Upcall{ID: c.id, Tag: meta.Tag, Meta: true})
	return c.id, nil
}

// open chooses the connection's number, takes the room that its record costs, and adds it.
func (m *Log) open(c *conn, port uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return logserver.ErrClosed
	}
	if err := m.ports.Check(port); err != nil {
		return err
	}
	if c.id == 0 {
		c.id = m.numbers.Highest() + 1
	}
	if err := m.numbers.Check(c.id); err != nil {
		return err
	}
	if !m.space.take(connCost) {
		return m.space.full()
	}
	m.numbers.Note(c.id)
	m.table.Add(c.id, c)
	return nil
}

// Update implements logserver.Log.
func (m *Log) Update(meta logserver.Meta) error {
	if err := meta.Validate(); err != nil {
		return err
	}
	c, err := m.lock(meta.ID)
	if err != nil {
		return err
	}
	c.info.Set(&meta)
	c.info.Touch()
	u := logserver.Upcall{ID: c.id, Tag: c.info.Tag, Stable: c.end, Meta: true}
	c.mu.Unlock()
	m.tell(u)
	return nil
}

// lock returns the connection with its lock held.
func (m *Log) lock(id logserver.ConnID) (*conn, error) {
	m.mu.RLock()
	c, closed := m.table.Get(id), m.closed
	m.mu.RUnlock()
	if closed {
		return nil, logserver.ErrClosed
	}
	if c != nil {
		c.mu.Lock()
		if !c.gone {
			return c, nil
		}
		c.mu.Unlock()
	}
	return nil, logserver.ErrNoConn
}

// NumActive implements logserver.Log.
func (m *Log) NumActive() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.table.Len()
}

// Active implements logserver.Log.
func (m *Log) Active(first, n int) ([]logserver.Meta, error) {
	m.mu.Lock()
	conns, err := m.table.Page(first, n)
	if m.closed {
		err = logserver.ErrClosed
	}
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var metas []logserver.Meta
	for _, c := range conns {
		c.mu.Lock()
		if !c.gone {
			metas = append(metas, c.meta())
		}
		c.mu.Unlock()
	}
	return metas, nil
}

// Meta implements logserver.Log.
func (m *Log) Meta(id logserver.ConnID) (logserver.Meta, error) {
	c, err := m.lock(id)
	if err != nil {
		return logserver.Meta{}, err
	}
	defer c.mu.Unlock()
	meta := c.meta()
	meta.Base.State = slices.Clone(c.info.Base(0).State)
	return meta, nil
}

// Delete implements logserver.Log.
func (m *Log) Delete(id logserver.ConnID) error {
	c, err := m.lock(id)
	if err != nil {
		return err
	}
	m.remove(c)
	return nil
}

// remove deletes a connection whose lock is held, and gives up the lock.
func (m *Log) remove(c *conn) {
	c.gone = true
	if c.reads != nil {
		m.space.give(c.reads.cost())
		c.reads = nil
	}
	cost := connCost + int64(len(c.info.Base(0).State))
	m.drop(c, c.end)
	m.space.give(cost)

	m.mu.Lock()
	m.table.Remove(c.id)
	m.mu.Unlock()
	m.space.check()
}

// Expire implements logserver.Log.
func (m *Log) Expire(t time.Time) []logserver.ConnID {
	m.mu.Lock()
	conns := m.table.All()
	m.mu.Unlock()
	var expired []logserver.ConnID
	before := t.UnixNano()
	for _, c := range conns {
		c.mu.Lock()
		if c.gone || c.info.Modified >= before {
			c.mu.Unlock()
			continue
		}
		m.remove(c)
		expired = append(expired, c.id)
	}
	if len(expired) > 0 {
		m.space.status.Announce(logserver.Expired)
	}
	return expired
}

// Close implements logserver.Log. It waits for reads that are under way, and for loans.
func (m *Log) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return logserver.ErrClosed
	}
	m.closed = true
	conns := m.table.All()
	m.table.Clear()
	m.mu.Unlock()

	for _, c := range conns {
		c.mu.Lock()
		c.gone = true
		c.mu.Unlock()
	}
	m.busy.Wait()
	m.wiper.drop()
	m.space.used.Store(0)
	m.space.status.Close()
	return m.arena.close()
}

// SetUpcall implements logserver.Log.
func (m *Log) SetUpcall(f func([]logserver.Upcall)) { m.up.Set(f) }

// SetStatusUpcall implements logserver.Log.
func (m *Log) SetStatusUpcall(f func(logserver.Status)) { m.space.status.SetUpcall(f) }

// Status implements logserver.Log.
func (m *Log) Status() logserver.Status { return m.space.status.Now() }

// Usage implements logserver.Log.
func (m *Log) Usage() (used, limit int64) { return m.space.used.Load(), m.cfg.QuotaTotal }

// upcalls recycles the slices that upcalls are told in: Write must not
// allocate, and what a function value is given escapes.
var upcalls = sync.Pool{New: func() any { return new([1]logserver.Upcall) }}

func (m *Log) tell(u logserver.Upcall) {
	if !m.up.Wanted() {
		return
	}
	one := upcalls.Get().(*[1]logserver.Upcall)
	one[0] = u
	m.up.Tell(one[:])
	upcalls.Put(one)
}
