package remote

import (
	"math"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// news takes in what the server says of connections, and appends the upcalls
// that follow from it.
func (l *Log) news(states []wire.State, ups []logserver.Upcall) []logserver.Upcall {
	lost := 0
	l.mu.Lock()
	for i := range states {
		s := &states[i]
		c := l.conns[s.ID]
		switch {
		case c == nil:
		case s.Flags&wire.StateGone != 0:
			ups = append(ups, l.lose(c))
			lost++
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
	if lost > 0 {
		l.warnLost(lost)
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
	c.limit = s.Limit
	l.refusals(c, s)
	if !c.blocked && c.sent < min(l.sendLimit(c), c.taken) {
		l.queueConn(c)
	}
	return u, some
}

// unsend forgets that anything was sent.
func (c *conn) unsend() {
	c.opened, c.sentGen, c.sent, c.sentReads, c.sentFin, c.sentBase = false, 0, c.stable, 0, false, place{}
	c.blocked, c.retryData, c.holdReads, c.retryRead = false, false, false, false
	for i := range c.reads {
		c.reads[i].mark = math.MaxInt64
	}
}

// lose drops a connection that the server does not have, and could not get
// whole again, and returns the upcall that tells it. l.mu is held.
func (l *Log) lose(c *conn) logserver.Upcall {
	l.forget(c)
	l.lost = true
	return logserver.Upcall{ID: c.id, Tag: c.meta.Tag, Gone: true}
}

func (l *Log) warnLost(n int) {
	l.cfg.Warn("the log server has lost connections", "connections", n)
	l.announce(0)
}
