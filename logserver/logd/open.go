package logd

import (
	"errors"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// open makes a connection known, or goes on with one that the client did not
// know to be.
func (x *session) open(f wire.Frame) error {
	o, err := wire.ParseOpen(f)
	if err != nil {
		return err
	}
	id := o.Meta.ID
	if x.openRefused && f.Flags&wire.FlagRetry == 0 {
		return nil
	}
	x.openRefused = false
	if !x.blocks[uint32(id>>32)] || !x.peer.may(o.Meta.Service) {
		x.gone(id)
		return nil
	}
	if c := x.find(id); c != nil {
		return x.openAgain(c, o)
	}
	switch err := x.create(o); {
	case err == nil:
	case errors.Is(err, logserver.ErrExists), errors.Is(err, logserver.ErrNotRegistered), errors.Is(err, logserver.ErrInvalid), errors.Is(err, logserver.ErrNoConn):
		x.gone(id)
	case errors.Is(err, logserver.ErrFenced):
	default:
		x.openRefused = true
		x.tell(wire.State{ID: id, Flags: wire.StateOpenRefused})
	}
	return nil
}

// openAgain: the client's earlier Open has arrived, the answer has not.
func (x *session) openAgain(c *conn, o wire.Open) error {
	if c.svc.name != o.Meta.Service {
		x.gone(c.id)
		return nil
	}
	if x.writes(c.svc) {
		defer c.svc.mu.RUnlock()
		x.srv.setMeta(c, o)
	}
	return nil
}

// create opens a connection in the store, under the number that o gives.
func (x *session) create(o wire.Open) error {
	if err := x.ports.Check(o.Meta.Server.Port()); err != nil {
		return err
	}
	svc := x.srv.table.service(o.Meta.Service)
	if !x.writes(svc) {
		return logserver.ErrFenced
	}
	defer svc.mu.RUnlock()
	c := &conn{id: o.Meta.ID, svc: svc, owner: x, gen: o.Gen, metaBusy: true}
	if !x.srv.table.add(c) {
		return logserver.ErrExists
	}
	// The upcall may come before Open returns.
	if _, err := x.srv.store.Open(o.Meta); err != nil {
		x.srv.table.takeBack(c)
		return err
	}
	x.srv.blocks.used(c.id)
	return nil
}

func (x *session) update(f wire.Frame) error {
	o, err := wire.ParseOpen(f)
	if err != nil {
		return err
	}
	c := x.mine(o.Meta.ID)
	if c == nil {
		return nil
	}
	defer c.svc.mu.RUnlock()
	if o.Meta.Service != c.svc.name {
		return protocol(f, "a connection changes its service")
	}
	x.srv.setMeta(c, o)
	return nil
}

// setMeta gives the store another version of the metadata, as soon as the one
// before it is stable. The service is read-locked.
func (s *Server) setMeta(c *conn, o wire.Open) {
	c.mu.Lock()
	c.next, c.nextGen = &o.Meta, o.Gen
	s.nextMeta(c)
}

// nextMeta gives the store the version that waits, if it is its turn. It is
// called with c.mu held and gives it up. The service is read-locked.
func (s *Server) nextMeta(c *conn) {
	next := c.next
	if next == nil || c.metaBusy || c.gone {
		c.mu.Unlock()
		return
	}
	c.gen, c.metaBusy, c.next = c.nextGen, true, nil
	c.mu.Unlock()
	if err := s.store.Update(*next); err != nil {
		s.cfg.Warn("metadata was not stored", "connection", c.id, "error", err)
		c.mu.Lock()
		if c.metaBusy = false; c.next == nil {
			c.next, c.nextGen = next, c.gen // the writer tries again
		}
		c.news()
		c.mu.Unlock()
	}
}
