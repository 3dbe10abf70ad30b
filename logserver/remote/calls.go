package remote

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/wire"
)

// usable returns why nothing can be done now. l.mu is held.
func (l *Log) usable() error {
	switch {
	case l.closed:
		return logserver.ErrClosed
	case !l.reached:
		return logserver.ErrUnreachable
	}
	return nil
}

// find returns a connection. l.mu is held.
func (l *Log) find(id logserver.ConnID) (*conn, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	if c := l.conns[id]; c != nil && !c.creating {
		return c, nil
	}
	return nil, logserver.ErrNoConn
}

// change returns a connection that is to be changed. l.mu is held.
func (l *Log) change(id logserver.ConnID) (*conn, error) {
	c, err := l.find(id)
	if err == nil && l.fenced[c.meta.Service] {
		return nil, logserver.ErrFenced
	}
	return c, err
}

// RegisterService implements logserver.Log.
func (l *Log) RegisterService(port uint16) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return logserver.ErrClosed
	}
	if !l.ports[port] {
		l.ports[port] = true
		l.enqueue(item{port: port, register: true})
	}
	return nil
}

func validate(m *logserver.Meta) error {
	if len(m.SYNOptions) > logserver.MaxOptions || len(m.SYNACKOptions) > logserver.MaxOptions || len(m.Service) > wire.MaxService {
		return fmt.Errorf("%w: %d and %d bytes of TCP options, a service's name of %d", logserver.ErrInvalid, len(m.SYNOptions), len(m.SYNACKOptions), len(m.Service))
	}
	return nil
}

// keep returns a copy of the caller's metadata.
func keep(m logserver.Meta) logserver.Meta {
	m.SYNOptions, m.SYNACKOptions = slices.Clone(m.SYNOptions), slices.Clone(m.SYNACKOptions)
	return m
}

// Open implements logserver.Log. It gives the connection a number of a block
// that the server has given to this log, and needs no answer. Only where the
// caller gives the number, Open waits for the server's.
func (l *Log) Open(m logserver.Meta) (logserver.ConnID, error) {
	if err := validate(&m); err != nil {
		return 0, err
	}
	l.mu.Lock()
	if err := l.mayOpen(&m); err != nil {
		l.mu.Unlock()
		return 0, err
	}
	if m.ID != 0 {
		return m.ID, l.create(m)
	}
	defer l.mu.Unlock()
	if l.next == math.MaxUint32 {
		return 0, fmt.Errorf("%w: no numbers are left before the server gives more", logserver.ErrUnreachable)
	}
	l.next++
	if l.next >= 1<<31 && !l.getBlock {
		l.getBlock = true
		l.submit(l.blockRequest())
	}
	m.ID = logserver.ConnID(l.blocks[len(l.blocks)-1].Number)<<32 | logserver.ConnID(l.next)
	c := l.newConn(m)
	c.own = true
	l.queueConn(c)
	return m.ID, nil
}

// mayOpen returns why a connection cannot be opened. l.mu is held.
func (l *Log) mayOpen(m *logserver.Meta) error {
	port := m.Server.Port()
	switch err := l.usable(); {
	case err != nil:
		return err
	case !l.ports[0] && !l.ports[port]:
		return fmt.Errorf("%w: port %d", logserver.ErrNotRegistered, port)
	case l.fenced[m.Service]:
		return logserver.ErrFenced
	case l.holding, l.server.Limit > 0 && l.server.Used >= l.server.Limit:
		return &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: l.server.Limit}
	case m.ID != 0 && l.conns[m.ID] != nil:
		return fmt.Errorf("%w: %d", logserver.ErrExists, m.ID)
	}
	return nil
}

// newConn adds a connection. l.mu is held.
func (l *Log) newConn(m logserver.Meta) *conn {
	l.gen = l.gen%math.MaxUint32 + 1
	c := &conn{id: m.ID, meta: keep(m), gen: l.gen, limit: -1}
	l.conns[c.id] = c
	return c
}

// Update implements logserver.Log.
func (l *Log) Update(m logserver.Meta) error {
	if err := validate(&m); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(m.ID)
	if err != nil {
		return err
	}
	l.gen = l.gen%math.MaxUint32 + 1
	c.meta, c.gen = keep(m), l.gen
	l.queueConn(c)
	return nil
}

// Touch implements logserver.Log.
func (l *Log) Touch(id logserver.ConnID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	if err != nil {
		return err
	}
	c.touched = true
	l.queueConn(c)
	return nil
}

// Write implements logserver.Log. It copies p.
func (l *Log) Write(id logserver.ConnID, off int64, p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	switch {
	case err != nil:
		return 0, err
	case off < 0 || off > math.MaxInt64-int64(len(p)):
		return 0, fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
	case off > c.taken:
		return 0, logserver.ErrGap
	}
	skip := c.taken - off
	if skip >= int64(len(p)) {
		return len(p), nil
	}
	if c.finished {
		return int(skip), logserver.ErrFinished
	}
	p = p[skip:]
	room, full := l.room(c)
	if room < int64(len(p)) {
		p, err = p[:room], full
	}
	if len(p) > 0 {
		c.data.add(c.taken, p)
		c.taken += int64(len(p))
		l.buffered += int64(len(p))
		l.queueConn(c)
	}
	return int(skip) + len(p), err
}

// Room implements logserver.Log: what the server has told last, less what was
// taken since.
func (l *Log) Room(id logserver.ConnID) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil || c.finished {
		return 0, err
	}
	room, _ := l.room(c)
	return room, nil
}

// WriteReads implements logserver.Log: all or nothing.
func (l *Log) WriteReads(id logserver.ConnID, lengths ...uint32) error {
	if slices.Contains(lengths, 0) {
		return fmt.Errorf("%w: a read of length 0", logserver.ErrInvalid)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	if err != nil || len(lengths) == 0 {
		return err
	}
	if c.holdReads || l.server.Limit > 0 && l.runs*runCost > l.server.Limit-l.server.Used {
		return &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: l.server.Limit}
	}
	for _, n := range lengths {
		if c.addRead(n) {
			l.runs++
		}
	}
	l.queueConn(c)
	return nil
}

// runCost is about what a run of reads occupies in a store, in bytes.
const runCost = 8

// Finish implements logserver.Log.
func (l *Log) Finish(id logserver.ConnID, off int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	switch {
	case err != nil:
		return err
	case off > c.taken:
		return logserver.ErrGap
	case off < c.taken:
		return logserver.ErrFinished
	case !c.finished:
		c.finished = true
		l.queueConn(c)
	}
	return nil
}

// Length implements logserver.Log.
func (l *Log) Length(id logserver.ConnID) (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return 0, 0, err
	}
	return c.start, c.stable, nil
}

// Discard implements logserver.Log.
func (l *Log) Discard(id logserver.ConnID, through int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	switch {
	case err != nil:
		return err
	case through > c.stable:
		return logserver.ErrGap
	case through > c.start:
		c.start = through
		l.queueConn(c)
	}
	return nil
}

// Delete implements logserver.Log. A fenced connection is forgotten here only.
func (l *Log) Delete(id logserver.ConnID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return err
	}
	l.forget(c)
	if c.opened && !l.fenced[c.meta.Service] {
		l.queueConn(c)
	}
	return nil
}

// forget drops a connection. l.mu is held.
func (l *Log) forget(c *conn) {
	delete(l.conns, c.id)
	if !l.own[uint32(c.id>>32)] {
		l.buried[c.id] = true
	}
	c.deleted = true
	l.release(c, c.taken)
	l.runs -= int64(c.unrecorded())
	c.reads = nil
}

// unrecorded is how many runs of reads the server has not recorded.
func (c *conn) unrecorded() (n int) {
	for i := len(c.reads) - 1; i >= 0 && c.reads[i].end() > c.readsEnd; i-- {
		n++
	}
	return n
}

// release gives up data that is stable, or not needed any more. l.mu is held.
func (l *Log) release(c *conn, stable int64) {
	if stable <= c.stable {
		return
	}
	l.buffered -= stable - c.stable
	c.stable = stable
	c.data.drop(stable, func(k *chunk) {
		if l.sending {
			l.retired = append(l.retired, k)
		} else {
			k.free()
		}
	})
}

// errIsAnswer reports whether an error is what the server said.
func errIsAnswer(err error) bool {
	return !errors.Is(err, logserver.ErrClosed) && !errors.Is(err, logserver.ErrUnreachable)
}
