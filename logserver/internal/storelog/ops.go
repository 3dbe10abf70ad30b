package storelog

import (
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// RegisterService implements logserver.Log.
func (l *Log) RegisterService(port uint16) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return logserver.ErrClosed
	}
	l.ports.Register(port)
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
	if err := l.ports.Check(m.Server.Port()); err != nil {
		return 0, err
	}
	id := m.ID
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
	c.info.Begin()
	c.info.Set(m)
	l.charge(c, connCost)
	l.table.Add(id, c)
	l.queueState(c, true)
	l.hurry()
	return id, nil
}

// find returns the connection. l.mu is held.
func (l *Log) find(id logserver.ConnID) (*conn, error) {
	if c := l.table.Get(id); c != nil && !l.closed {
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
	c.info.Set(&m)
	c.info.Touch()
	l.queueState(c, true)
	l.hurry()
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
		c.info.Touch()
		l.queueState(c, false)
		l.hurry()
	}
	return nil
}

// Rebase implements logserver.Log. All of the base is in one State record, half of which is
// left for the rest: a log whose files are small has no room for the longest states.
func (l *Log) Rebase(id logserver.ConnID, b logserver.Base) error {
	if err := b.Validate(); err != nil {
		return err
	}
	err := l.rebase(id, &b)
	l.space.check()
	return err
}

func (l *Log) rebase(id logserver.ConnID, b *logserver.Base) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return err
	}
	old := c.info.Base(c.start)
	more := int64(len(b.State) - len(old.State))
	switch {
	case b.In > c.stable:
		return logserver.ErrGap
	case !b.Beyond(old):
		return nil
	case more > 0 && l.space.room() < more, len(b.State) > l.maxRecord()/2:
		return l.space.full()
	}
	l.charge(c, more-(b.In-c.start))
	c.info.Rebase(b)
	c.start = b.In
	l.skip(c)
	if c.reads != nil {
		before := len(c.reads.Runs)
		c.reads.Trim(b.In)
		l.charge(c, int64(len(c.reads.Runs)-before)*runCost)
	}
	l.queueState(c, false)
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
	l.table.Remove(c.id)
	l.queueDeletion(c)
	l.soon()
}

// Expire implements logserver.Log.
func (l *Log) Expire(t time.Time) []logserver.ConnID {
	l.mu.Lock()
	var expired []logserver.ConnID
	before := t.UnixNano()
	for _, c := range l.table.All() {
		if c.info.Modified < before {
			l.remove(c)
			expired = append(expired, c.id)
		}
	}
	l.mu.Unlock()
	if len(expired) > 0 {
		l.space.status.Announce(logserver.Expired)
		l.space.check()
	}
	return expired
}

// NumActive implements logserver.Log.
func (l *Log) NumActive() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table.Len()
}

// Active implements logserver.Log.
func (l *Log) Active(first, n int) ([]logserver.Meta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, logserver.ErrClosed
	}
	conns, err := l.table.Page(first, n)
	if err != nil {
		return nil, err
	}
	metas := make([]logserver.Meta, len(conns))
	for i, c := range conns {
		metas[i] = c.meta()
		metas[i].Base.State = nil
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
	m := c.meta()
	m.Base.State = slices.Clone(m.Base.State)
	return m, nil
}

// SetUpcall implements logserver.Log.
func (l *Log) SetUpcall(f func([]logserver.Upcall)) { l.up.Set(f) }

// SetStatusUpcall implements logserver.Log.
func (l *Log) SetStatusUpcall(f func(logserver.Status)) { l.space.status.SetUpcall(f) }

// Status implements logserver.Log.
func (l *Log) Status() logserver.Status { return l.space.status.Now() }

// Usage implements logserver.Log. It counts what is live, and the third of it
// that the log needs beside it.
func (l *Log) Usage() (used, limit int64) { return l.space.used(), l.cfg.QuotaTotal }
