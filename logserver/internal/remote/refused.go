package remote

import (
	"cmp"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// retryAfter is when that is tried again for which the server had no room.
const retryAfter = 200 * time.Millisecond

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

func compareIDs(a, b logserver.ConnID) int { return cmp.Compare(a, b) }

// retry tries again what is due. l.mu is held.
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
