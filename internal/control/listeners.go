package control

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// listener is what an engine is to know of one of the process's listeners.
type listener struct {
	protect   Protect
	listening Listening
	want      stage // how far the listener is
	told      stage // how much of that the present engine knows
	forget    bool  // once the engine knows
	refused   error // why the present engine does not protect it, although it was told
}

// stage is how far a listener is; each follows from the one before.
type stage int

const (
	nothing stage = iota
	protected
	listens
	left // closed; its connections may be there
)

// Protect asks for the gate before a listener is bound. If no engine is there
// it waits for the next one, at most 30 s.
func (s *Session) Protect(ctx context.Context, m Protect) error {
	s.mu.Lock()
	for id, l := range s.listeners { // it takes the place of one that was left
		if l.want == left && l.protect.Port == m.Port {
			delete(s.listeners, id)
		}
	}
	s.listeners[m.ID] = &listener{protect: m, want: protected}
	s.mu.Unlock()
	err := s.tell(ctx, m.ID, protected, func(ctx context.Context, c *Client) error { return c.Protect(ctx, m) })
	if err != nil {
		s.mu.Lock()
		delete(s.listeners, m.ID)
		s.mu.Unlock()
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
func (s *Session) Listening(ctx context.Context, m Listening) (r ListeningReply, err error) {
	s.mu.Lock()
	if l := s.listeners[m.ID]; l != nil {
		l.listening, l.want = m, listens
	}
	s.mu.Unlock()
	err = s.tell(ctx, m.ID, listens, func(ctx context.Context, c *Client) (err error) {
		r, err = c.Listening(ctx, m)
		return err
	})
	if err != nil {
		s.mu.Lock()
		if l := s.listeners[m.ID]; l != nil {
			l.want = protected
		}
		s.mu.Unlock()
	}
	return r, err
}

// tell tells engines that a listener has come so far, until one knows. It may
// have heard when it took over.
func (s *Session) tell(ctx context.Context, id uint64, to stage, f func(context.Context, *Client) error) error {
	bounded, result := patient(ctx)
	return result(s.do(bounded, 0, func(c *Client) error {
		s.mu.Lock()
		l := s.listeners[id]
		known := l != nil && s.client == c && l.told >= to
		s.mu.Unlock()
		if known {
			return l.refused // set before told
		}
		if err := f(ctx, c); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if l := s.listeners[id]; l != nil && s.client == c {
			l.told = max(l.told, to)
		}
		return nil
	}))
}

// Closed reports that a listener is closed. It does not wait for the next
// engine, which is told when it comes.
func (s *Session) Closed(ctx context.Context, m Closed) error {
	s.mu.Lock()
	state, c := s.state, s.client
	if l := s.listeners[m.ID]; l != nil {
		// The port's connections are an engine's business while nobody else
		// listens there. Without a listener it has none.
		l.forget = l.want != listens || s.others(m.ID, l.protect.Port)
		l.want = left
		if l.forget && state != resuming {
			delete(s.listeners, m.ID)
		}
	}
	s.mu.Unlock()
	switch state {
	case waiting, resuming:
		return nil
	case ended:
		return ErrLost
	}
	err := c.Closed(ctx, m)
	if errors.Is(err, ErrLost) && s.replaced(ctx, c) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.listeners[m.ID]; l != nil && s.client == c {
		l.told = left
	}
	return err
}

// others reports whether another listener has the port. s.mu is held.
func (s *Session) others(id uint64, port uint16) bool {
	for other, l := range s.listeners {
		if other != id && l.want != left && l.protect.Port == port {
			return true
		}
	}
	return false
}

// untold returns what an engine that takes over is to be told next: the
// listener and the stage; nil if it knows all.
func (s *Session) untold() (id uint64, l listener, to stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.listeners)) {
		l := s.listeners[id]
		switch {
		case l.told >= l.want:
		case l.forget && l.told == nothing: // it need not know
			delete(s.listeners, id)
		case l.told == nothing && l.want == left:
			return id, *l, left
		default:
			return id, *l, min(l.told+1, l.want)
		}
	}
	return 0, listener{}, nothing
}
