package remote

import (
	"math"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/wire"
)

// retryAfter is when that is tried again for which the server had no room.
const retryAfter = 200 * time.Millisecond

// news takes in what the server says of connections, and appends the upcalls
// that follow from it.
func (l *Log) news(states []wire.State, ups []logserver.Upcall) []logserver.Upcall {
	var lost []logserver.ConnID
	l.mu.Lock()
	for i := range states {
		s := &states[i]
		c := l.conns[s.ID]
		switch {
		case c == nil:
		case s.Flags&wire.StateGone != 0:
			l.lose(c)
			lost = append(lost, c.id)
		case s.Flags&wire.StateOpenRefused != 0:
			l.openRefused(c)
		default:
			if u, some := l.take(c, s); some {
				ups = append(ups, u)
			}
		}
	}
	closed := l.closed
	l.mu.Unlock()
	if len(lost) > 0 {
		l.tellLost(lost)
	}
	if closed {
		select {
		case l.settled <- struct{}{}:
		default:
		}
	}
	return ups
}

// take compares what the server says with what was known. l.mu is held.
func (l *Log) take(c *conn, s *wire.State) (u logserver.Upcall, some bool) {
	if !c.known {
		c.known = true
		l.admitted(c)
	}
	u = logserver.Upcall{ID: c.id, Tag: c.meta.Tag}
	if stable := min(s.Stable, c.taken); stable > c.stable {
		l.release(c, stable)
		c.sent = max(c.sent, stable)
		some, l.lost = true, false
	}
	u.Stable = c.stable
	if s.Meta != 0 && s.Meta == c.gen && c.stableGen != c.gen {
		c.stableGen = c.gen
		u.Meta, some = true, true
	}
	if s.Flags&wire.StateFin != 0 && c.finished && !c.finStable && c.stable == c.taken {
		c.finStable = true
		u.Fin, some = true, true
	}
	if s.ReadEnd > c.readsEnd {
		before := c.unrecorded()
		c.readsEnd = s.ReadEnd
		l.runs -= int64(before - c.unrecorded())
	}
	c.dropReads()
	c.limit, c.limitStart, c.total = s.Limit, s.Start, s.Flags&wire.StateTotal != 0
	l.refusals(c, s)
	if limit, _ := l.sendLimit(c); !c.blocked && c.sent < min(limit, c.taken) {
		l.queueConn(c)
	}
	return u, some
}

// refusals deals with what the store had no room for: it is sent again, first
// data as soon as there is room, reads after a while.
func (l *Log) refusals(c *conn, s *wire.State) {
	if s.Flags&wire.StateRefused != 0 {
		c.blocked, c.sent, c.sentFin = true, min(max(s.Taken, c.stable), c.taken), false
	} else if c.blocked && s.Limit > c.sent {
		c.blocked, c.retryData = false, true
	}
	if s.Flags&wire.StateReadsRefused != 0 && !c.holdReads {
		c.holdReads, c.sentReads = true, s.ReadEnd
		l.heldReads = append(l.heldReads, c)
		l.retryLater()
	}
}

func (l *Log) retryLater() {
	if l.retryAt.IsZero() {
		l.retryAt = time.Now().Add(retryAfter)
		l.rouse()
	}
}

// openRefused: the server had no room for the connection, and has ignored those
// that were opened after it.
func (l *Log) openRefused(c *conn) {
	if c.known {
		return
	}
	l.holding = true
	for _, other := range l.conns {
		if !other.known && !other.creating && other.opened && (other.id >= c.id || other == l.probe) {
			other.unsend()
		}
	}
	if l.probe == nil || c.id < l.probe.id || l.probe.deleted {
		l.probe = c
	}
	l.retryLater()
}

// admitted ends what openRefused began, if this is the connection that was
// tried. l.mu is held.
func (l *Log) admitted(c *conn) {
	if !l.holding || c != l.probe {
		return
	}
	l.holding, l.probe = false, nil
	l.queueUnopened()
}

// queueUnopened queues what is not open at the server in the order of the
// numbers: a number that lies below one that was used cannot be used any more.
func (l *Log) queueUnopened() {
	var list []*conn
	for _, c := range l.conns {
		if !c.opened {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *conn) int { return compareIDs(a.id, b.id) })
	for _, c := range list {
		l.queueConn(c)
	}
}

func compareIDs(a, b logserver.ConnID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// retry tries again what is due, and returns when to look next. l.mu is held.
func (l *Log) retry(now time.Time) {
	if l.retryAt.IsZero() || now.Before(l.retryAt) {
		return
	}
	l.retryAt = time.Time{}
	for _, c := range l.heldReads {
		if c.holdReads && !c.deleted {
			c.holdReads, c.retryRead = false, true
			l.queueConn(c)
		}
	}
	l.heldReads = nil
	if !l.holding {
		return
	}
	if l.probe == nil || l.probe.deleted {
		l.probe = nil
		for _, c := range l.conns {
			if !c.opened && (l.probe == nil || c.id < l.probe.id) {
				l.probe = c
			}
		}
		if l.probe == nil {
			l.holding = false
			return
		}
	}
	l.retryOpen = true
	l.queueConn(l.probe)
}

// unsend forgets that anything was sent.
func (c *conn) unsend() {
	c.opened, c.sentGen, c.sent, c.sentReads, c.sentFin, c.sentStart = false, 0, c.stable, 0, false, 0
	c.blocked, c.retryData, c.holdReads, c.retryRead = false, false, false, false
	for i := range c.reads {
		c.reads[i].mark = math.MaxInt64
	}
}

// lose drops a connection that the server does not have, and could not get
// whole again. l.mu is held.
func (l *Log) lose(c *conn) {
	l.forget(c)
	l.lost = true
}

func (l *Log) tellLost(ids []logserver.ConnID) {
	l.cfg.Warn("the log server has lost connections", "connections", len(ids))
	l.announce(0)
	l.cfg.Lost(ids)
}

func (l *Log) tell(ups []logserver.Upcall) {
	if f := l.up.Load(); len(ups) > 0 && f != nil && *f != nil {
		(*f)(ups)
	}
}
