package logd

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// claim makes the session the one that writes the service, unless a younger one
// does.
func (x *session) claim(svc *service) bool {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if !x.alive() {
		return false
	}
	if svc.rank > x.rank && (svc.owner != nil || !x.blocks[svc.rank]) {
		return false
	}
	old := svc.owner
	if old == x {
		return true
	}
	svc.owner, svc.rank = x, x.rank
	for _, c := range x.srv.table.of(svc) {
		c.mu.Lock()
		if c.owner != nil {
			c.owner.waits(c.stable - c.taken)
		}
		c.owner, c.dirty, c.refused, c.readsRefused = x, false, false, false
		x.waits(c.taken - c.stable)
		c.news()
		c.mu.Unlock()
	}
	if old != nil && old.rank != x.rank {
		if old.alive() {
			x.srv.counted.fenced.Add(1)
		}
		old.out.notice(wire.AppendFenced(nil, svc.name))
	}
	return true
}

// writes read-locks the service if the session is its writer, which it becomes
// if need be.
func (x *session) writes(svc *service) bool {
	for {
		svc.mu.RLock()
		if svc.owner == x {
			return true
		}
		svc.mu.RUnlock()
		if !x.claim(svc) {
			if !x.fenced[svc] {
				x.fenced[svc] = true
				x.out.control(wire.AppendFenced(nil, svc.name))
			}
			return false
		}
	}
}

// mine returns the connection with its service read-locked, or tells the peer
// that it has no such connection and returns nil.
func (x *session) mine(id logserver.ConnID) *conn {
	c := x.find(id)
	if c == nil {
		// What follows a refused Open is ignored as well.
		if !x.openRefused || !x.blocks[uint32(id>>32)] {
			x.gone(id)
		}
		return nil
	}
	if !x.writes(c.svc) {
		return nil
	}
	return c
}

// find returns a connection that the peer may see, or nil.
func (x *session) find(id logserver.ConnID) *conn {
	if c := x.srv.table.get(id); c != nil && x.peer.may(c.svc.name) {
		return c
	}
	return nil
}

// gone tells the peer that it has no such connection.
func (x *session) gone(id logserver.ConnID) { x.tell(wire.State{ID: id, Flags: wire.StateGone}) }

func (x *session) tell(s wire.State) {
	x.out.control(wire.AppendState(wire.AppendHeader(nil, wire.TypeStates, 0, wire.StateSize), s))
}
