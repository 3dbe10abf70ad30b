package control

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// listener is one of the process's, as it is announced, and what the last engine that has
// heard of it as it was then has answered.
type listener struct {
	Listener
	answer Answer
}

// change changes the set of listeners. f is called with s.mu held.
func (s *Session) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.set++
}

// Protect asks for the gate before a listener is bound. If no engine is there
// it waits for the next one, at most 30 s.
func (s *Session) Protect(ctx context.Context, m Protect) error {
	s.change(func() {
		maps.DeleteFunc(s.listeners, func(_ uint64, l *listener) bool { return l.Left && l.Port == m.Port }) // it takes the place of one that was left
		s.listeners[m.ID] = &listener{Listener: Listener{Protect: m}}
	})
	_, err := s.tell(ctx, m.ID)
	if err != nil {
		s.change(func() { delete(s.listeners, m.ID) })
	}
	return err
}

// Former asks for the port that a listener of the process before had for the address
// m.Asked; 0: none. It waits as Protect does.
func (s *Session) Former(ctx context.Context, m Protect) (port uint16, err error) {
	bounded, result := patient(ctx)
	err = result(s.do(bounded, 0, func(c *Client) (err error) {
		port, err = c.Former(bounded, m)
		return err
	}))
	return port, err
}

// Listening reports a listener and waits until the gate is armed. It waits as
// Protect does.
func (s *Session) Listening(ctx context.Context, m Listening) (ListeningReply, error) {
	listens := func(to *Listening) func() {
		return func() {
			if l := s.listeners[m.ID]; l != nil {
				l.Listens = to
			}
		}
	}
	s.change(listens(&m))
	a, err := s.tell(ctx, m.ID)
	if err != nil {
		s.change(listens(nil))
	}
	return ListeningReply{Recovering: a.Recovering}, err
}

// Closed reports that a listener is closed. It does not wait for the next engine,
// which gets the report with the announcement.
func (s *Session) Closed(ctx context.Context, m Closed) error {
	s.change(func() {
		// The port's connections are an engine's business while nobody else
		// listens there. Without a listener it has none.
		l := s.listeners[m.ID]
		if l == nil || l.Listens == nil || s.others(m.ID, l.Port) {
			delete(s.listeners, m.ID)
		} else {
			l.Left = true
		}
	})
	s.mu.Lock()
	state, c := s.state, s.client
	s.mu.Unlock()
	switch state {
	case waiting, resuming:
		return nil
	case ended:
		return ErrLost
	}
	err := s.announce(ctx, c)
	if errors.Is(err, ErrLost) && s.replaced(ctx, c) {
		return nil
	}
	return err
}

// others reports whether another listener has the port. s.mu is held.
func (s *Session) others(id uint64, port uint16) bool {
	for other, l := range s.listeners {
		if other != id && !l.Left && l.Port == port {
			return true
		}
	}
	return false
}

// tell waits until an engine has heard of a listener as it is, and returns its answer.
func (s *Session) tell(ctx context.Context, id uint64) (a Answer, err error) {
	bounded, result := patient(ctx)
	err = result(s.do(bounded, 0, func(c *Client) error {
		if err := s.announce(bounded, c); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if l := s.listeners[id]; l != nil {
			a = l.answer
		}
		if a.Refused != nil {
			return a.Refused
		}
		return nil
	}))
	return a, err
}

// announce tells an engine all listeners, unless it knows them.
func (s *Session) announce(ctx context.Context, c *Client) error {
	s.announcing.Lock()
	defer s.announcing.Unlock()
	s.mu.Lock()
	set := s.set
	known := s.informed == c && s.known == set
	m := s.announcement(c)
	s.mu.Unlock()
	if known {
		return nil
	}
	r, err := c.Announce(ctx, m)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.informed, s.known = c, set
	for _, a := range r.Listeners {
		if l := s.listeners[a.ID]; l != nil {
			l.answer = a
		}
	}
	return nil
}

// announcement is what is sent to an engine. A listener that was left is sent only to an
// engine that does not know that yet: a server may leave many over time. s.mu is held.
func (s *Session) announcement(c *Client) (m Announcement) {
	for _, id := range slices.Sorted(maps.Keys(s.listeners)) {
		if l := s.listeners[id]; !l.Left || s.informed != c {
			m.Listeners = append(m.Listeners, l.Listener)
		}
	}
	return m
}
