package logd

import (
	"errors"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// execute does what a frame says.
func (x *session) execute(f wire.Frame) error {
	switch f.Type {
	case wire.TypeData:
		return x.data(f)
	case wire.TypeOpen:
		return x.open(f)
	case wire.TypeUpdate:
		return x.update(f)
	case wire.TypeReads:
		return x.reads(f)
	case wire.TypeFinish:
		id, off, err := wire.ParseFinish(f)
		if err != nil {
			return err
		}
		return x.change(f, id, func(c *conn) error { return x.srv.store.Finish(c.id, off) })
	case wire.TypeRebase:
		id, base, err := wire.ParseRebase(f)
		if err != nil {
			return err
		}
		return x.change(f, id, func(c *conn) error { return x.srv.rebase(c, base) })
	case wire.TypeDelete:
		return x.delete(f)
	case wire.TypeRegister:
		port, err := wire.ParseRegister(f)
		if err == nil {
			x.ports.Register(port)
		}
		return err
	case wire.TypeAlive:
		return nil
	}
	return x.request(f)
}

// data appends to a connection. What the store has no room for is refused, and
// then all that comes up to a retry.
func (x *session) data(f wire.Frame) error {
	id, off, p, err := wire.ParseData(f)
	if err != nil {
		return err
	}
	c := x.mine(id)
	if c == nil {
		return nil
	}
	defer c.svc.mu.RUnlock()
	c.mu.Lock()
	if c.refused {
		if f.Flags&wire.FlagRetry == 0 {
			c.mu.Unlock()
			return nil
		}
		c.refused = false
	}
	c.mu.Unlock()

	x.bytes.Add(uint64(len(p)))
	n, err := x.srv.store.Write(id, off, p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.advance(off+int64(n), 0)
	}
	switch {
	case err == nil:
		if off+int64(len(p)) <= c.stable {
			c.news() // it has it: no upcall may come
		}
	case errors.Is(err, logserver.ErrGap):
		return protocol(f, "a gap in the data")
	case errors.Is(err, logserver.ErrNoConn), errors.Is(err, logserver.ErrFinished):
		c.tell |= wire.StateGone
		c.news()
	default: // no room, or the store has failed: the client keeps it
		c.refused = true
		c.tell |= wire.StateRefused
		c.news()
	}
	return nil
}

// change does what a Finish or Rebase frame says of a connection.
func (x *session) change(f wire.Frame, id logserver.ConnID, do func(*conn) error) error {
	c := x.mine(id)
	if c == nil {
		return nil
	}
	defer c.svc.mu.RUnlock()
	err := do(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, logserver.ErrGap) && c.refused:
		return nil // it comes after data that was refused, and will again
	case errors.Is(err, logserver.ErrGap):
		return protocol(f, "beyond the end of the data")
	case errors.Is(err, logserver.ErrFinished), errors.Is(err, logserver.ErrNoConn):
		c.tell |= wire.StateGone
		c.news()
	case err != nil:
		x.srv.cfg.Warn("not stored", "connection", id, "error", err)
	case f.Type == wire.TypeRebase, c.fin:
		c.news()
	}
	return nil
}

func (x *session) delete(f wire.Frame) error {
	id, err := wire.ParseDelete(f)
	if err != nil {
		return err
	}
	c := x.find(id)
	if c == nil || !x.writes(c.svc) {
		return nil // what is gone needs no deletion
	}
	defer c.svc.mu.RUnlock()
	x.srv.remove(c)
	x.out.tellStatus()
	return nil
}

// remove deletes a connection. Its service is read-locked.
func (s *Server) remove(c *conn) {
	s.table.remove(c)
	if err := s.store.Delete(c.id); err != nil && !errors.Is(err, logserver.ErrNoConn) {
		s.cfg.Warn("a connection was not deleted", "connection", c.id, "error", err)
	}
}
