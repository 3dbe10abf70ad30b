package remote

import (
	"fmt"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// open returns logserver.ErrClosed if the log is closed.
func (l *Log) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return logserver.ErrClosed
	}
	return nil
}

// query asks the server something.
func (l *Log) query(q wire.Request, restart func(), take func(wire.Frame) error) error {
	r := l.newRequest(func(req uint32) []byte {
		q.Req = req
		return wire.AppendRequest(nil, q)
	})
	r.restart, r.take = restart, take
	return l.ask(r, l.cfg.Timeout)
}

// Read implements logserver.Log.
func (l *Log) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	l.mu.Lock()
	c, err := l.find(id)
	n := int64(0)
	switch {
	case err != nil:
	case off < 0:
		err = fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
	case off < c.base.In:
		err = logserver.ErrDiscarded
	default:
		n = min(int64(len(p)), c.stable-off)
	}
	l.mu.Unlock()
	if err != nil || n <= 0 {
		return 0, err
	}
	p = p[:n]
	got := 0
	err = l.query(wire.Request{Type: wire.TypeRead, ID: id, First: off, N: n}, func() { got = 0 }, func(f wire.Frame) error {
		_, data, err := wire.ParseReq(f)
		if err != nil || f.Type != wire.TypeBytes || len(data) > len(p)-got {
			return f.Malformed()
		}
		got += copy(p[got:], data)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return got, nil
}

// Reads implements logserver.Log: what the server has recorded, and what it has
// no room for yet.
func (l *Log) Reads(id logserver.ConnID) (runs []logserver.ReadRun, err error) {
	l.mu.Lock()
	c, err := l.find(id)
	unknown := err == nil && !c.known && l.holding
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !unknown {
		err = l.query(wire.Request{Type: wire.TypeGetReads, ID: id}, func() { runs = nil }, func(f wire.Frame) error {
			if f.Type != wire.TypeRuns {
				return f.Malformed()
			}
			_, more, err := wire.ParseRuns(f)
			runs = append(runs, more...)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(runs, c.readsFrom(max(c.readsEnd, c.base.In))...), nil
}

// Meta implements logserver.Log.
func (l *Log) Meta(id logserver.ConnID) (logserver.Meta, error) {
	l.mu.Lock()
	c, err := l.find(id)
	var own logserver.Meta
	unknown := err == nil && !c.known && l.holding
	if unknown {
		own = keep(c.meta)
		own.Finished, own.Base = c.finished, c.base
		own.Base.State = slices.Clone(c.base.State)
	}
	l.mu.Unlock()
	if err != nil || unknown {
		return own, err
	}
	list, err := l.metas(wire.Request{Type: wire.TypeGetMeta, ID: id})
	if err == nil && len(list) == 0 {
		err = logserver.ErrNoConn
	}
	if err != nil {
		return logserver.Meta{}, err
	}
	return list[0], nil
}

// Active implements logserver.Log: of the services that the client's
// certificate names.
func (l *Log) Active(first, n int) ([]logserver.Meta, error) {
	if err := l.open(); err != nil {
		return nil, err
	}
	if first < 0 || n < 0 {
		return nil, fmt.Errorf("%w: Active(%d, %d)", logserver.ErrInvalid, first, n)
	}
	return l.metas(wire.Request{Type: wire.TypeActive, First: int64(first), N: int64(n)})
}

// metas asks for connections, and makes those known here that were not.
func (l *Log) metas(q wire.Request) (list []logserver.Meta, err error) {
	err = l.query(q, func() { list = nil }, func(f wire.Frame) error {
		if f.Type != wire.TypeMetas {
			return f.Malformed()
		}
		_, more, err := wire.ParseMetas(f)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range more {
			if l.meet(&more[i]) {
				list = append(list, more[i].Meta)
			}
		}
		return nil
	})
	return list, err
}

// meet makes a connection known that the server tells of, unless it was
// deleted meanwhile. l.mu is held.
func (l *Log) meet(t *wire.Listed) bool {
	c := l.conns[t.Meta.ID]
	switch {
	case c == nil && (l.deleted[t.Meta.ID] || l.own[uint32(t.Meta.ID>>32)]):
		return false
	case c == nil:
		c = l.adopt(t.State)
	}
	if c.gen == 0 {
		c.meta = keep(t.Meta)
	}
	return true
}

// Expire implements logserver.Log: of the services that this log may write.
func (l *Log) Expire(t time.Time) (ids []logserver.ConnID) {
	if l.open() != nil {
		return nil
	}
	err := l.query(wire.Request{Type: wire.TypeExpire, Before: t.UnixNano()}, nil, func(f wire.Frame) error {
		if f.Type != wire.TypeIDs {
			return f.Malformed()
		}
		_, more, err := wire.ParseIDs(f)
		ids = append(ids, more...)
		return err
	})
	if err != nil {
		l.cfg.Warn("expiry is not certain", "error", err)
	}
	l.mu.Lock()
	for _, id := range ids {
		if c := l.conns[id]; c != nil {
			l.forget(c)
		}
	}
	l.mu.Unlock()
	if len(ids) > 0 {
		l.announce(logserver.Expired)
	}
	return ids
}
