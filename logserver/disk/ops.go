package disk

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// touchGrain is how much older the recorded time of a connection's last sign of
// life may become before Touch records another.
const touchGrain = 30 * time.Second

// RegisterService implements logserver.Log.
func (l *Log) RegisterService(port uint16) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return logserver.ErrClosed
	}
	l.services[port] = true
	return nil
}

// Open implements logserver.Log.
func (l *Log) Open(m logserver.Meta) (logserver.ConnID, error) {
	if err := m.Validate(); err != nil {
		return 0, err
	}
	id, err := l.open(&m)
	l.space.check()
	return id, err
}

func (l *Log) open(m *logserver.Meta) (logserver.ConnID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, logserver.ErrClosed
	}
	if port := m.Server.Port(); !l.services[0] && !l.services[port] {
		return 0, fmt.Errorf("%w: port %d", logserver.ErrNotRegistered, port)
	}
	id := uint64(m.ID)
	if l.space.room() < connCost || id == 0 && !l.numbers.safe {
		return 0, l.space.full()
	}
	if id == 0 {
		id = l.numbers.choose()
	} else if err := l.numbers.claim(id); err != nil {
		return 0, err
	}
	l.numbers.opened++
	c := &conn{id: id, number: l.numbers.opened, fin: -1}
	c.touch()
	c.created = c.modified
	c.setMeta(m)
	l.charge(c, connCost)
	l.conns[logserver.ConnID(id)] = c
	l.order = append(l.order, logserver.ConnID(id))
	l.pendState(c, true)
	l.hurry()
	return logserver.ConnID(id), nil
}

// find returns the connection. l.mu is held.
func (l *Log) find(id logserver.ConnID) (*conn, error) {
	if c := l.conns[id]; c != nil && !l.closed {
		return c, nil
	}
	if l.closed {
		return nil, logserver.ErrClosed
	}
	return nil, logserver.ErrNoConn
}

// Update implements logserver.Log.
func (l *Log) Update(m logserver.Meta) error {
	if err := m.Validate(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(m.ID)
	if err != nil {
		return err
	}
	c.setMeta(&m)
	c.touch()
	l.pendState(c, true)
	l.hurry()
	return nil
}

// Touch implements logserver.Log. The time is recorded now and then.
func (l *Log) Touch(id logserver.ConnID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return err
	}
	c.touch()
	if c.modified-c.recorded > int64(touchGrain) {
		l.pendState(c, false)
		l.soon()
	}
	return nil
}

// Finish implements logserver.Log.
func (l *Log) Finish(id logserver.ConnID, off int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return err
	}
	switch {
	case off > c.taken:
		return logserver.ErrGap
	case off < c.taken:
		return logserver.ErrFinished
	case c.fin < 0:
		c.fin = off
		c.touch()
		l.pendState(c, false)
		l.hurry()
	}
	return nil
}

// Discard implements logserver.Log.
func (l *Log) Discard(id logserver.ConnID, through int64) error {
	err := l.discard(id, through)
	l.space.check()
	return err
}

func (l *Log) discard(id logserver.ConnID, through int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return err
	}
	if through > c.stable {
		return logserver.ErrGap
	}
	if through <= c.start {
		return nil
	}
	l.charge(c, c.start-through)
	c.start = through
	l.skip(c)
	if c.reads != nil {
		before := len(c.reads.runs)
		c.reads.trim(through)
		l.charge(c, int64(len(c.reads.runs)-before)*runCost)
	}
	l.pendState(c, false)
	l.soon()
	return nil
}

// Delete implements logserver.Log.
func (l *Log) Delete(id logserver.ConnID) error {
	l.mu.Lock()
	c, err := l.find(id)
	if err == nil {
		l.remove(c)
	}
	l.mu.Unlock()
	if err == nil {
		l.space.check()
	}
	return err
}

// remove deletes a connection. l.mu is held.
func (l *Log) remove(c *conn) {
	c.gone = true
	l.charge(c, -c.raw)
	delete(l.conns, logserver.ConnID(c.id))
	if len(l.order) > 2*len(l.conns)+64 {
		l.compact()
	}
	l.pendTomb(c)
	l.soon()
}

// Expire implements logserver.Log.
func (l *Log) Expire(t time.Time) []logserver.ConnID {
	l.mu.Lock()
	var expired []logserver.ConnID
	before := t.UnixNano()
	for _, c := range l.snapshot() {
		if c.modified < before {
			l.remove(c)
			expired = append(expired, logserver.ConnID(c.id))
		}
	}
	l.mu.Unlock()
	if len(expired) > 0 {
		l.space.announce(logserver.Expired)
		l.space.check()
	}
	return expired
}

// NumActive implements logserver.Log.
func (l *Log) NumActive() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0
	}
	return len(l.conns)
}

// Active implements logserver.Log.
func (l *Log) Active(first, n int) ([]logserver.Meta, error) {
	if first < 0 || n < 0 {
		return nil, fmt.Errorf("%w: Active(%d, %d)", logserver.ErrInvalid, first, n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, logserver.ErrClosed
	}
	l.compact()
	order := l.order[min(first, len(l.order)):]
	var metas []logserver.Meta
	for _, id := range order[:min(n, len(order))] {
		metas = append(metas, l.conns[id].meta())
	}
	return metas, nil
}

// Lookup implements logserver.Log.
func (l *Log) Lookup(ep netip.AddrPort) ([]logserver.Meta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, logserver.ErrClosed
	}
	var metas []logserver.Meta
	for _, c := range l.snapshot() {
		if c.client == ep || c.shared.Value().server == ep {
			metas = append(metas, c.meta())
		}
	}
	return metas, nil
}

// Meta implements logserver.Log.
func (l *Log) Meta(id logserver.ConnID) (logserver.Meta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return logserver.Meta{}, err
	}
	return c.meta(), nil
}

// snapshot returns the connections in the order in which they were opened.
// l.mu is held.
func (l *Log) snapshot() []*conn {
	l.compact()
	conns := make([]*conn, len(l.order))
	for i, id := range l.order {
		conns[i] = l.conns[id]
	}
	return conns
}

// compact drops deleted connections from l.order. l.mu is held.
func (l *Log) compact() {
	if len(l.order) != len(l.conns) {
		l.order = slices.DeleteFunc(l.order, func(id logserver.ConnID) bool { return l.conns[id] == nil })
	}
}

// SetUpcall implements logserver.Log.
func (l *Log) SetUpcall(f func([]logserver.Upcall)) { l.up.Store(&f) }

// SetStatusUpcall implements logserver.Log.
func (l *Log) SetStatusUpcall(f func(logserver.Status)) { l.space.up.Store(&f) }

// Status implements logserver.Log.
func (l *Log) Status() logserver.Status { return l.space.now() }

// Usage implements logserver.Log. It counts what is live, and the third of it
// that the log needs beside it.
func (l *Log) Usage() (used, limit int64) { return l.space.used(), l.cfg.QuotaTotal }
