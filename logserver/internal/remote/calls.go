package remote

import (
	"fmt"
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
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
	if err == nil && l.fenced(c.meta.Service) {
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
	if l.ports.Register(port) {
		l.enqueue(item{port: port, register: true})
	}
	return nil
}

// Write implements logserver.Log. It copies p.
func (l *Log) Write(id logserver.ConnID, off int64, p []byte) (n int, err error) {
	return l.append(id, off, p, nil)
}

// append is Write for what may lie at the beginning of a loan.
func (l *Log) append(id logserver.ConnID, off int64, p []byte, in *loan) (n int, err error) {
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
		if in != nil && in.begins(c) {
			c.data.commit(len(p))
		} else {
			c.data.add(&l.spare, c.taken, p)
		}
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
	c, err := l.change(id)
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
	return c.base.In, c.stable, nil
}

// Rebase implements logserver.Log. If the server has no room for the base's state then, that is only
// logged there, and the former base stays.
func (l *Log) Rebase(id logserver.ConnID, b logserver.Base) error {
	if err := b.Validate(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	switch {
	case err != nil:
		return err
	case b.In > c.stable:
		return logserver.ErrGap
	case b.Beyond(c.base):
		c.base, c.ownBase = b, true
		c.base.State = slices.Clone(b.State)
		l.queueConn(c)
	}
	return nil
}
