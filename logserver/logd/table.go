package logd

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// table holds all connections of the store. Locks are taken in this order:
// service.mu, table.mu, conn.mu, output.mu. The store is called with service.mu
// read-locked and none of the others; it calls back at any time.
type table struct {
	mu       sync.RWMutex // guards what follows
	conns    map[logserver.ConnID]*conn
	order    []logserver.ConnID // as opened, deleted ones included until compact
	services map[string]*service
}

// service has one writer at a time.
type service struct {
	name string

	// mu is read-locked while a connection of the service is written: so that
	// nothing of an older writer comes after a newer one's claim.
	mu sync.RWMutex
	// owner is the session that writes. rank is the block that the youngest
	// session which claimed the service began with; before anybody has claimed
	// it, the highest block among its connections.
	owner *session
	rank  uint32
	since time.Time // when the service was heard of first
}

// conn is what the server knows about a connection besides the store.
type conn struct {
	id  logserver.ConnID
	svc *service

	mu    sync.Mutex // guards what follows
	owner *session   // is told the news; nil if nobody has claimed the service
	gone  bool
	dirty bool // in owner's list of news

	start, stable, taken int64
	// The store's reads end at readEnd, unknown if negative; those that a client
	// has told end at readTold, which discard may leave behind.
	readEnd, readTold int64
	fin               bool // stable

	// A store tells that some metadata is stable, not which. So it is given one
	// version at a time: gen is the last, stableGen the stable one, next waits.
	gen, stableGen uint32
	metaBusy       bool
	next           *logserver.Meta
	nextGen        uint32

	// What is ignored after the store had no room for it; tell holds flags of
	// the next State.
	refused, readsRefused bool
	tell                  uint32
}

func newTable() table {
	return table{conns: map[logserver.ConnID]*conn{}, services: map[string]*service{}}
}

func (t *table) get(id logserver.ConnID) *conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.conns[id]
}

// service returns the one of this name.
func (t *table) service(name string) *service {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.services[name]
	if s == nil {
		s = &service{name: name, since: time.Now()}
		t.services[name] = s
	}
	return s
}

// add makes a connection known; it returns false if the number is in use.
func (t *table) add(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns[c.id] != nil {
		return false
	}
	t.conns[c.id] = c
	t.order = append(t.order, c.id)
	return true
}

// takeBack removes a connection that the store did not take: it may be added
// again.
func (t *table) takeBack(c *conn) {
	t.remove(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.order) - 1; i >= 0; i-- {
		if t.order[i] == c.id {
			t.order = slices.Delete(t.order, i, i+1)
			return
		}
	}
}

func (t *table) remove(c *conn) {
	t.mu.Lock()
	delete(t.conns, c.id)
	if len(t.order) > 2*len(t.conns)+64 {
		t.compact()
	}
	t.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone, c.next = true, nil
	if c.owner != nil {
		c.owner.waits(c.stable - c.taken)
	}
}

func (t *table) compact() {
	t.order = slices.DeleteFunc(t.order, func(id logserver.ConnID) bool { return t.conns[id] == nil })
}

// visible returns a peer's connections in the order in which they were opened.
func (t *table) visible(peer *identity) []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) > len(t.conns) {
		t.compact()
	}
	list := make([]*conn, 0, len(t.order))
	for _, id := range t.order {
		if c := t.conns[id]; c != nil && peer.may(c.svc.name) {
			list = append(list, c)
		}
	}
	return list
}

// of returns a service's connections.
func (t *table) of(svc *service) (list []*conn) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, c := range t.conns {
		if c.svc == svc {
			list = append(list, c)
		}
	}
	return list
}

// load reads what the store holds, and tells each number to used.
func (t *table) load(store logserver.Log, used func(logserver.ConnID)) error {
	const page = 1000
	for first := 0; ; first += page {
		metas, err := store.Active(first, page)
		if err != nil {
			return fmt.Errorf("logd: what the store holds: %w", err)
		}
		for _, m := range metas {
			start, end, err := store.Length(m.ID)
			if err != nil {
				return fmt.Errorf("logd: connection %d of the store: %w", m.ID, err)
			}
			c := &conn{
				id: m.ID, svc: t.service(m.Service),
				start: start, stable: end, taken: end, readEnd: -1, fin: m.Finished,
			}
			c.svc.rank = max(c.svc.rank, uint32(m.ID>>32))
			used(m.ID)
			t.add(c)
		}
		if len(metas) < page {
			return nil
		}
	}
}

// advance raises what was taken and what is stable. c.mu is held.
func (c *conn) advance(taken, stable int64) {
	before := c.taken - c.stable
	c.stable = max(c.stable, stable)
	c.taken = max(c.taken, taken, c.stable)
	if d := c.taken - c.stable - before; d != 0 && c.owner != nil && !c.gone {
		c.owner.waits(d)
	}
}

// news has the owner told of the connection. c.mu is held.
func (c *conn) news() {
	if c.owner != nil && !c.dirty && !c.gone {
		c.dirty = c.owner.out.add(c)
	}
}
