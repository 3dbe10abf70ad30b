package control

import "time"

// byeTimeout bounds how long a peer that does not read delays the end, and how long
// the last message is waited for.
const byeTimeout = 200 * time.Millisecond

// Leave makes Serve end as the engine's death would: without notifying the server
// processes, which wait for the next engine if one was promised (Welcome.Returns).
func (s *Server) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave = true
	if s.end != nil {
		s.end()
	}
}

func (s *Server) add(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.MaxConns {
		return false
	}
	s.conns[l] = false
	s.wg.Add(1)
	return true
}

// admitted notes that a server process is at the other end. It returns false if
// Serve is ending.
func (s *Server) admitted(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[l] = true
	return !s.closed
}

func (s *Server) remove(l *link) {
	l.c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, l)
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for l, process := range s.conns {
		if !process || s.leave {
			l.c.Close()
			continue
		}
		s.wg.Go(func() {
			late := time.AfterFunc(byeTimeout, func() { l.c.Close() })
			defer late.Stop()
			_ = l.write(typeBye, nil) // a peer that does not get it finds the socket closed
			l.c.Close()
		})
	}
}
