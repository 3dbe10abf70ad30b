package logd

import (
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/wire"
)

// starving is the room, in bytes, below which the server looks itself whether
// there is more: nothing else would tell.
const starving = 1 << 20

// poll is how often it looks.
const poll = 100 * time.Millisecond

// write sends what there is as soon as the connection takes it: the more there
// is, the larger the batch. An idle session hears from the server now and then.
func (x *session) write() {
	alive := time.NewTimer(x.srv.cfg.Silence / 4)
	defer alive.Stop()
	look := time.NewTimer(poll)
	look.Stop()
	defer look.Stop()
	starved := map[*conn]int64{} // connections with little room, and the limit that was told
	var buf []byte
	for {
		batch, some := x.out.next()
		buf = buf[:0]
		if !some {
			select {
			case <-x.done:
				return
			case <-x.out.wake:
				continue
			case <-look.C:
				if x.feed(starved); len(starved) > 0 {
					look.Reset(poll)
				}
				continue
			case <-alive.C:
				buf = wire.AppendHeader(buf, wire.TypeAlive, 0, 0)
			}
		}
		alive.Reset(x.srv.cfg.Silence / 4)
		hungry := len(starved) > 0
		if batch.status || len(batch.dirty) > 0 {
			buf = x.srv.appendStatus(buf)
		}
		for len(batch.dirty) > 0 {
			n := min(len(batch.dirty), statesPerFrame)
			buf = x.appendStates(buf, batch.dirty[:n], starved)
			if batch.dirty = batch.dirty[n:]; len(batch.dirty) > 0 {
				if err := x.send(buf); err != nil {
					x.end(err)
					return
				}
				buf = buf[:0]
			}
		}
		if !hungry && len(starved) > 0 {
			look.Reset(poll)
		}
		if err := x.send(append(buf, batch.small...), batch.bulk); err != nil {
			x.end(err)
			return
		}
	}
}

// send writes within the time that a peer has to read.
func (x *session) send(parts ...[]byte) error {
	x.sending.Lock()
	defer x.sending.Unlock()
	return x.sendLocked(parts...)
}

func (x *session) sendLocked(parts ...[]byte) error {
	if err := x.conn.SetWriteDeadline(time.Now().Add(x.srv.cfg.WriteTimeout)); err != nil {
		return err
	}
	if x.cork != nil {
		x.cork.Hold()
	}
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		if _, err := x.conn.Write(p); err != nil {
			return err
		}
	}
	if x.cork != nil {
		return x.cork.Release()
	}
	return nil
}

// appendStates appends a frame with the news of connections.
func (x *session) appendStates(b []byte, list []*conn, starved map[*conn]int64) []byte {
	at := len(b)
	b = wire.AppendHeader(b, wire.TypeStates, 0, 0)
	n := 0
	for _, c := range list {
		c.mu.Lock()
		owner, gone := c.owner, c.gone
		c.mu.Unlock()
		if owner != x || gone {
			continue // somebody else's by now
		}
		state, room := x.srv.state(c)
		if c.waiting() {
			x.turn(c)
		}
		if state.Flags&wire.StateTotal != 0 && room < starving || state.Flags&(wire.StateRefused) != 0 || c.waiting() {
			starved[c] = state.Limit
		} else {
			delete(starved, c)
		}
		b = wire.AppendState(b, state)
		n++
	}
	if n == 0 {
		return b[:at]
	}
	wire.AppendHeader(b[:at], wire.TypeStates, 0, n*wire.StateSize)
	return b
}

// turn gives the store the metadata that waits.
func (x *session) turn(c *conn) {
	c.svc.mu.RLock()
	defer c.svc.mu.RUnlock()
	if c.svc.owner == x {
		c.mu.Lock()
		x.srv.nextMeta(c)
	}
}

// waiting reports whether metadata waits for its turn.
func (c *conn) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next != nil && !c.metaBusy && !c.gone
}

// state returns what to tell of a connection, once, and how much room it has.
func (s *Server) state(c *conn) (wire.State, int64) {
	_, readEnd := s.learnReadEnd(c)
	c.mu.Lock()
	state := wire.State{
		ID: c.id, Start: c.start, Stable: c.stable, Taken: c.taken, ReadEnd: readEnd,
		Meta: c.stableGen, Flags: c.tell,
	}
	if c.fin {
		state.Flags |= wire.StateFin
	}
	c.dirty, c.tell = false, 0
	c.mu.Unlock()

	room, err := s.store.Room(c.id)
	if err != nil {
		room = 0
	}
	state.Limit = state.Taken + room
	if used, limit := s.store.Usage(); room >= limit-used-roundings {
		state.Flags |= wire.StateTotal
	} else if quota := state.Limit - state.Start; quota > s.quota.Load() {
		s.quota.Store(quota) // more or less: it is a hint
	}
	return state, room
}

// roundings is how much a store's room may differ from what it does not
// occupy, in bytes.
const roundings = 4096

// feed looks whether connections that had little room have more.
func (x *session) feed(starved map[*conn]int64) {
	used, limit := x.srv.store.Usage()
	for c, told := range starved {
		room, err := x.srv.store.Room(c.id)
		c.mu.Lock()
		switch {
		case err != nil || c.gone || c.owner != x:
			delete(starved, c)
		case c.taken+room > told || limit-used > starving || c.next != nil:
			delete(starved, c) // comes back if it is not enough
			c.news()
		}
		c.mu.Unlock()
	}
}

func (s *Server) appendStatus(b []byte) []byte {
	used, limit := s.store.Usage()
	return wire.AppendStatus(b, wire.Status{Status: s.store.Status() &^ logserver.Expired, Used: max(used, 0), Limit: max(limit, 0)})
}
