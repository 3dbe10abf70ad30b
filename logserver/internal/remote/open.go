package remote

import (
	"fmt"
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
)

// Open implements logserver.Log. It gives the connection a number of a block
// that the server has given to this log, and needs no answer. Only where the
// caller gives the number, Open waits for the server's.
func (l *Log) Open(m logserver.Meta) (logserver.ConnID, error) {
	if err := m.Validate(); err != nil {
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
	err := l.usable()
	if err == nil {
		err = l.ports.Check(m.Server.Port())
	}
	switch {
	case err != nil:
		return err
	case l.fenced(m.Service):
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
	if err := m.Validate(); err != nil {
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

// keep returns a copy of the caller's metadata.
func keep(m logserver.Meta) logserver.Meta {
	m.Handshake = slices.Clone(m.Handshake)
	m.Base = logserver.Base{}
	return m
}
