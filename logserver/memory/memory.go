package logserver

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MemoryConfig sets the memory backend's limits. The zero value is usable.
type MemoryConfig struct {
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

func (c MemoryConfig) withDefaults() MemoryConfig {
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

func (c MemoryConfig) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"QuotaTotal", c.QuotaTotal}, {"LowSpace", c.LowSpace}, {"Reserve", c.Reserve}} {
		if f.value < 0 {
			return fmt.Errorf("%w: MemoryConfig.%s is %d", ErrInvalid, f.name, f.value)
		}
	}
	return nil
}

// Memory is the log that lives in the memory of its process. Data is stable
// as soon as it is copied: the upcall comes from inside Write, once for each
// call that adds something. Client data is kept outside the Go heap, taken and
// reused in chunks of 256 B to 1 MiB. When it is deleted, or its whole chunk
// discarded, it is wiped: little at once, more in the background, where a GiB
// may take half a minute while the log is busy, unless it is overwritten before.
type Memory struct {
	cfg   MemoryConfig
	arena arena
	wiper wiper
	space space
	up    atomic.Pointer[func([]Upcall)]
	// busy counts who uses chunks outside a connection's lock. It is raised
	// under that lock while the connection is not gone, so that Close, which
	// makes all connections gone, can wait for it.
	busy sync.WaitGroup

	mu       sync.RWMutex // guards the fields below; taken before a memConn's mu, never after
	services map[uint16]bool
	conns    map[ConnID]*memConn
	order    []ConnID          // as opened, deleted ones included until compact
	lastID   ConnID            // the highest that was ever used
	blocks   map[uint32]ConnID // the same of each block of numbers with these upper bits
	closed   bool
}

var (
	_ Log       = (*Memory)(nil)
	_ Immediate = (*Memory)(nil)
)

// Immediate implements Immediate: no method waits.
func (m *Memory) Immediate() bool { return true }

// NewMemory returns an empty log. config may be nil.
func NewMemory(config *MemoryConfig) (*Memory, error) {
	var cfg MemoryConfig
	if config != nil {
		cfg = *config
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m := &Memory{
		cfg:      cfg,
		services: make(map[uint16]bool),
		conns:    make(map[ConnID]*memConn),
		blocks:   make(map[uint32]ConnID),
	}
	m.arena.keep = int(cfg.Reserve / slabSize)
	m.wiper.arena, m.wiper.limit = &m.arena, cfg.Reserve
	m.space.limit, m.space.low = cfg.QuotaTotal, cfg.LowSpace
	return m, nil
}

// RegisterService implements Log.
func (m *Memory) RegisterService(port uint16) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.services[port] = true
	return nil
}

// Open implements Log.
func (m *Memory) Open(meta Meta) (ConnID, error) {
	if err := meta.Validate(); err != nil {
		return 0, err
	}
	c := &memConn{created: time.Now().UnixNano()}
	c.modified = c.created
	c.setMeta(meta)

	m.mu.Lock()
	id, err := m.mayOpen(&meta)
	if err == nil {
		c.id = id
		m.lastID, m.blocks[uint32(id>>32)] = max(m.lastID, id), id
		m.conns[c.id] = c
		m.order = append(m.order, c.id)
	}
	m.mu.Unlock()

	m.space.check()
	if err != nil {
		return 0, err
	}
	m.tell(Upcall{ID: c.id, Tag: meta.Tag, Meta: true})
	return c.id, nil
}

// mayOpen chooses the connection's number and takes the room that its record
// costs. m.mu is held.
func (m *Memory) mayOpen(meta *Meta) (ConnID, error) {
	id, port := meta.ID, meta.Server.Port()
	if id == 0 {
		id = m.lastID + 1
	}
	switch {
	case m.closed:
		return 0, ErrClosed
	case !m.services[0] && !m.services[port]:
		return 0, fmt.Errorf("%w: port %d", ErrNotRegistered, port)
	case id <= m.blocks[uint32(id>>32)]:
		return 0, fmt.Errorf("%w: %d", ErrExists, id)
	case !m.space.take(connCost):
		return 0, &QuotaError{ScopeTotal, m.cfg.QuotaTotal}
	}
	return id, nil
}

// Update implements Log.
func (m *Memory) Update(meta Meta) error {
	if err := meta.Validate(); err != nil {
		return err
	}
	c, err := m.lock(meta.ID)
	if err != nil {
		return err
	}
	c.setMeta(meta)
	c.touch()
	u := Upcall{ID: c.id, Tag: c.tag, Stable: c.end, Meta: true}
	c.mu.Unlock()
	m.tell(u)
	return nil
}

// Touch implements Log.
func (m *Memory) Touch(id ConnID) error {
	c, err := m.lock(id)
	if err != nil {
		return err
	}
	c.touch()
	c.mu.Unlock()
	return nil
}

// lock returns the connection with its lock held.
func (m *Memory) lock(id ConnID) (*memConn, error) {
	m.mu.RLock()
	c, closed := m.conns[id], m.closed
	m.mu.RUnlock()
	if closed {
		return nil, ErrClosed
	}
	if c != nil {
		c.mu.Lock()
		if !c.gone {
			return c, nil
		}
		c.mu.Unlock()
	}
	return nil, ErrNoConn
}

// NumActive implements Log.
func (m *Memory) NumActive() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.conns)
}

// Active implements Log.
func (m *Memory) Active(first, n int) ([]Meta, error) {
	if first < 0 || n < 0 {
		return nil, fmt.Errorf("%w: Active(%d, %d)", ErrInvalid, first, n)
	}
	conns, err := m.snapshot()
	if err != nil {
		return nil, err
	}
	conns = conns[min(first, len(conns)):]
	conns = conns[:min(n, len(conns))]
	return collect(conns, func(*memConn) bool { return true }), nil
}

// Lookup implements Log.
func (m *Memory) Lookup(ep netip.AddrPort) ([]Meta, error) {
	conns, err := m.snapshot()
	if err != nil {
		return nil, err
	}
	return collect(conns, func(c *memConn) bool {
		return c.client == ep || c.shared.Value().server == ep
	}), nil
}

// snapshot returns the connections in the order in which they were opened.
func (m *Memory) snapshot() ([]*memConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	m.compact()
	conns := make([]*memConn, len(m.order))
	for i, id := range m.order {
		conns[i] = m.conns[id]
	}
	return conns, nil
}

// compact drops deleted connections from m.order. m.mu is held.
func (m *Memory) compact() {
	if len(m.order) == len(m.conns) {
		return
	}
	m.order = slices.DeleteFunc(m.order, func(id ConnID) bool { return m.conns[id] == nil })
}

func collect(conns []*memConn, want func(*memConn) bool) []Meta {
	var metas []Meta
	for _, c := range conns {
		c.mu.Lock()
		if !c.gone && want(c) {
			metas = append(metas, c.meta())
		}
		c.mu.Unlock()
	}
	return metas
}

// Meta implements Log.
func (m *Memory) Meta(id ConnID) (Meta, error) {
	c, err := m.lock(id)
	if err != nil {
		return Meta{}, err
	}
	defer c.mu.Unlock()
	return c.meta(), nil
}

// Delete implements Log.
func (m *Memory) Delete(id ConnID) error {
	c, err := m.lock(id)
	if err != nil {
		return err
	}
	m.remove(c)
	return nil
}

// remove deletes a connection whose lock is held, and gives up the lock.
func (m *Memory) remove(c *memConn) {
	c.gone = true
	if c.reads != nil {
		m.space.give(c.reads.cost())
		c.reads = nil
	}
	m.drop(c, c.end)
	m.space.give(connCost)

	m.mu.Lock()
	delete(m.conns, c.id)
	if len(m.order) > 2*len(m.conns)+64 {
		m.compact()
	}
	m.mu.Unlock()
	m.space.check()
}

// Expire implements Log.
func (m *Memory) Expire(t time.Time) []ConnID {
	conns, err := m.snapshot()
	if err != nil {
		return nil
	}
	var expired []ConnID
	before := t.UnixNano()
	for _, c := range conns {
		c.mu.Lock()
		if c.gone || c.modified >= before {
			c.mu.Unlock()
			continue
		}
		m.remove(c)
		expired = append(expired, c.id)
	}
	if len(expired) > 0 {
		m.space.announce(Expired)
	}
	return expired
}

// Close implements Log. It waits for reads that are under way, and for loans.
func (m *Memory) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.closed = true
	conns := m.conns
	m.conns, m.order = nil, nil
	m.mu.Unlock()

	for _, c := range conns {
		c.mu.Lock()
		c.gone = true
		c.mu.Unlock()
	}
	m.busy.Wait()
	m.wiper.drop()
	m.space.close()
	return m.arena.close()
}

// SetUpcall implements Log.
func (m *Memory) SetUpcall(f func([]Upcall)) { m.up.Store(&f) }

// SetStatusUpcall implements Log.
func (m *Memory) SetStatusUpcall(f func(Status)) { m.space.up.Store(&f) }

// Status implements Log.
func (m *Memory) Status() Status { return m.space.now() }

// Usage implements Log.
func (m *Memory) Usage() (used, limit int64) { return m.space.used.Load(), m.cfg.QuotaTotal }

// upcalls recycles the slices that upcalls are told in: Write must not
// allocate, and what a function value is given escapes.
var upcalls = sync.Pool{New: func() any { return new([1]Upcall) }}

func (m *Memory) tell(u Upcall) {
	f := m.up.Load()
	if f == nil || *f == nil {
		return
	}
	one := upcalls.Get().(*[1]Upcall)
	one[0] = u
	(*f)(one[:])
	upcalls.Put(one)
}
