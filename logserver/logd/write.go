package logd

import (
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// starving is the room, in bytes, below which the server looks itself whether
// there is more: nothing else would tell.
const starving = 1 << 20

// poll is how often it looks.
const poll = 100 * time.Millisecond

// write tells the peer what there is as soon as the connection takes it: the
// more there is, the larger the batch. An idle session hears from the server now
// and then.
func (x *session) write() {
	alive := time.NewTimer(x.srv.cfg.Silence / 4)
	defer alive.Stop()
	look := time.NewTimer(poll)
	look.Stop()
	defer look.Stop()
	looking := false
	for {
		some, starved, err := x.news()
		if err != nil {
			x.end(err)
			return
		}
		if starved && !looking {
			look.Reset(poll)
		}
		looking = starved
		if some {
			alive.Reset(x.srv.cfg.Silence / 4)
			continue
		}
		select {
		case <-x.done:
			return
		case <-x.out.wake:
		case <-look.C:
			x.feed()
			looking = false
		case <-alive.C:
			if err := x.send(wire.AppendHeader(nil, wire.TypeAlive, 0, 0)); err != nil {
				x.end(err)
				return
			}
			alive.Reset(x.srv.cfg.Silence / 4)
		}
	}
}

// news sends what there is to be told, if there is something. starved says that
// feed is to be called in a while. The writer and the reader call it.
func (x *session) news() (some, starved bool, err error) {
	x.telling.Lock()
	defer x.telling.Unlock()
	batch, some := x.out.next()
	if !some {
		return false, len(x.starved) > 0, nil
	}
	buf := x.buf[:0]
	if batch.status || len(batch.dirty) > 0 {
		buf = x.srv.appendStatus(buf)
	}
	for list := batch.dirty; len(list) > 0; {
		n := min(len(list), statesPerFrame)
		buf = x.appendStates(buf, list[:n])
		if list = list[n:]; len(list) > 0 {
			if err := x.send(buf); err != nil {
				return true, false, err
			}
			buf = buf[:0]
		}
	}
	x.buf = append(buf, batch.small...)
	x.out.reuse(batch.dirty)
	return true, len(x.starved) > 0, x.send(x.buf, batch.bulk)
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

// appendStates appends a frame with the news of connections. x.telling is held.
func (x *session) appendStates(b []byte, list []*conn) []byte {
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
		if room < starving || state.Flags&wire.StateRefused != 0 || c.waiting() {
			x.starved[c] = state.Limit
		} else {
			delete(x.starved, c)
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
	_, sent := s.learnReadEnd(c)
	// What changes before dirty is cleared is in this State, what changes afterwards in the next.
	c.mu.Lock()
	state := wire.State{
		ID: c.id, Start: c.start, Out: c.out, Stable: c.stable, Taken: c.taken, ReadEnd: max(sent, c.readSent),
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
	return state, room
}

// feed looks whether connections that had little room have more.
func (x *session) feed() {
	x.telling.Lock()
	defer x.telling.Unlock()
	used, limit := x.srv.store.Usage()
	for c, sent := range x.starved {
		room, err := x.srv.store.Room(c.id)
		c.mu.Lock()
		switch {
		case err != nil || c.gone || c.owner != x:
			delete(x.starved, c)
		case c.taken+room > sent || limit-used > starving || c.next != nil:
			delete(x.starved, c) // comes back if it is not enough
			c.news()
		}
		c.mu.Unlock()
	}
}

func (s *Server) appendStatus(b []byte) []byte {
	used, limit := s.store.Usage()
	return wire.AppendStatus(b, wire.Status{Status: s.store.Status() &^ logserver.Expired, Used: max(used, 0), Limit: max(limit, 0)})
}
