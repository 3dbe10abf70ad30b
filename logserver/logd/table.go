package logd

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// connections are those of the store. Locks are taken in this order:
// service.mu, connections.mu, conn.mu, output.mu. The store is called with service.mu
// read-locked and none of the others; it calls back at any time.
type connections struct {
	mu       sync.RWMutex // guards what follows
	conns    table.Table[*conn]
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

	start, out, stable, taken int64
	// The store's reads end at readEnd, unknown if negative; those that a client
	// was were sent end at readSent, which rebase may leave behind.
	readEnd, readSent int64
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

func (t *connections) get(id logserver.ConnID) *conn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.conns.Get(id)
}

// service returns the one of this name.
func (t *connections) service(name string) *service {
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
func (t *connections) add(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conns.Add(c.id, c)
}

// takeBack removes a connection that the store did not take: it may be added
// again.
func (t *connections) takeBack(c *conn) {
	t.mu.Lock()
	t.conns.TakeBack(c.id)
	t.mu.Unlock()
	c.leave()
}

func (t *connections) remove(c *conn) {
	t.mu.Lock()
	t.conns.Remove(c.id)
	t.mu.Unlock()
	c.leave()
}

// leave ends what the server knows of a connection.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone, c.next = true, nil
	if c.owner != nil {
		c.owner.waits(c.stable - c.taken)
	}
}

// all returns the connections in the order in which they were opened.
func (t *connections) all() []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conns.All()
}

// visible returns those of a peer.
func (t *connections) visible(peer *identity) []*conn {
	return slices.DeleteFunc(t.all(), func(c *conn) bool { return !peer.may(c.svc.name) })
}

// of returns those of a service.
func (t *connections) of(svc *service) []*conn {
	return slices.DeleteFunc(t.all(), func(c *conn) bool { return c.svc != svc })
}

// load reads what the store holds, and tells each number to used.
func (t *connections) load(store logserver.Log, used func(logserver.ConnID)) error {
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
				start: start, out: m.Base.Out, stable: end, taken: end, readEnd: -1, fin: m.Finished,
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
