package logd

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// upcall is the store's stability upcall. It may come from inside a call that
// a session makes, on whose goroutine.
func (s *Server) upcall(list []logserver.Upcall) {
	for _, u := range list {
		c := s.table.get(u.ID)
		if c == nil {
			continue
		}
		c.mu.Lock()
		if u.Gone {
			c.tell |= wire.StateGone
		}
		c.advance(0, u.Stable)
		if u.Meta {
			c.metaBusy, c.stableGen = false, c.gen
		}
		c.fin = c.fin || u.Fin
		c.news()
		c.mu.Unlock()
	}
}

// statusUpcall is the store's status upcall.
func (s *Server) statusUpcall(logserver.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.sessions {
		session.out.tellStatus()
	}
}
