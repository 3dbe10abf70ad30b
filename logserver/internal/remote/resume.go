package remote

import (
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// resume brings together what the server holds and what this end knows, and
// queues the difference. It returns the upcalls of the connections that are lost.
func (l *Log) resume(k *link, w wire.Welcome, states []wire.State) []logserver.Upcall {
	l.mu.Lock()
	pending := make([]*request, 0, len(l.pending))
	for _, r := range l.pending {
		pending = append(pending, r)
	}
	l.mu.Unlock()
	for _, r := range pending {
		r.reset()
	}

	l.mu.Lock()
	l.link = k
	lost, agreed := l.reconcile(w, states)
	l.reached = true
	l.mu.Unlock()
	for _, r := range agreed {
		r.finish(nil)
	}
	return lost
}

// reconcile is resume with l.mu held. agreed are requests that turn out to have
// been granted.
func (l *Log) reconcile(w wire.Welcome, states []wire.State) (lost []logserver.Upcall, agreed []*request) {
	if !w.Resumed {
		l.blocks, l.next = []wire.Block{w.Block}, 0
		l.own[w.Block.Number] = true
	}
	first := !l.reached
	l.getBlock = false
	l.queue = nil
	l.holding, l.probe, l.retryOpen, l.heldReads = false, nil, false, nil
	for port := range l.ports.All() {
		l.enqueue(item{port: port, register: true})
	}
	has := make(map[logserver.ConnID]bool, len(states))
	var list []*conn
	for i := range states {
		s := &states[i]
		has[s.ID] = true
		c := l.conns[s.ID]
		switch {
		case c != nil && s.Taken < c.stable:
			// The store has lost what it called stable.
			lost = append(lost, l.lose(c))
			c.opened = true
			l.queueDelete(c)
		case c != nil:
			c.found(s)
		case first || !l.own[uint32(s.ID>>32)] && !l.deleted[s.ID]:
			l.adopt(*s)
		default: // deleted since, or the deletion has not become stable
			l.queueDelete(&conn{id: s.ID, opened: true, deleted: true})
		}
	}
	for _, c := range l.conns {
		c.queued, c.since = false, 0
		if !has[c.id] && !c.missing() {
			lost = append(lost, l.lose(c))
			continue
		}
		list = append(list, c)
	}
	for id := range l.deleted {
		if !has[id] {
			delete(l.deleted, id)
		}
	}
	slices.SortFunc(list, func(a, b *conn) int { return compareIDs(a.id, b.id) })
	for _, c := range list {
		if c.creating {
			continue // its request is asked again
		}
		l.queueConn(c)
	}
	requests := make([]*request, 0, len(l.pending))
	for _, r := range l.pending {
		requests = append(requests, r)
	}
	slices.SortFunc(requests, func(a, b *request) int { return int(int64(a.seq) - int64(b.seq)) })
	for _, r := range requests {
		if id := r.creates; id != 0 && has[id] && l.conns[id] != nil {
			delete(l.pending, r.req) // the answer was lost
			agreed = append(agreed, r)
			continue
		}
		l.submit(r)
	}
	return lost, agreed
}

// queueDelete queues the deletion of a connection that is not known here any more.
func (l *Log) queueDelete(c *conn) {
	c.queued = false
	l.queueConn(c)
}

// adopt makes a connection known that somebody else has opened. l.mu is held.
func (l *Log) adopt(s wire.State) *conn {
	c := &conn{
		id: s.ID, known: true, opened: true,
		base: logserver.Base{In: s.Start, Out: s.Out}, sentBase: place{s.Start, s.Out}, stable: s.Stable, taken: s.Stable, sent: s.Stable,
		readEnd: s.ReadEnd, readsEnd: s.ReadEnd, sentReads: s.ReadEnd,
		limit: s.Limit,
	}
	if s.Flags&wire.StateFin != 0 {
		c.finished, c.finStable, c.sentFin = true, true, true
	}
	l.conns[c.id] = c
	return c
}

// found takes in what the server has of a connection.
func (c *conn) found(s *wire.State) {
	c.unsend()
	c.opened = true
	if c.stableGen == c.gen {
		c.sentGen = c.gen
	}
	c.sent = min(s.Taken, c.taken)
	c.sentReads = s.ReadEnd
	c.readsEnd = min(c.readsEnd, s.ReadEnd)
	c.sentBase = place{s.Start, s.Out}
	has := logserver.Base{In: min(s.Start, c.stable), Out: s.Out}
	switch {
	case c.ownBase && c.base.Beyond(has):
		// It is sent again.
	case c.ownBase && placeOf(&c.base) == placeOf(&has):
		c.sentBase = placeOf(&c.base) // it may have to be sent again later
	default: // an earlier caller's, whose state is not known here
		c.base, c.ownBase = has, false
		c.sentBase = placeOf(&c.base)
	}
	c.limit = s.Limit
	for i := range c.reads {
		// How they lie relative to what was sent is not known any more.
		c.reads[i].mark = max(c.sent, c.stable)
	}
}

// missing prepares a connection for being opened again at a server that does
// not have it. It returns false if too much of it is gone from here.
func (c *conn) missing() bool {
	if c.creating {
		return true
	}
	if !c.own || c.stable > 0 || c.base.In > 0 {
		return false
	}
	c.unsend()
	c.known, c.stableGen, c.finStable, c.readsEnd, c.limit = false, 0, false, 0, -1
	return true
}
