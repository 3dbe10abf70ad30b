package control

import (
	"errors"
	"time"
)

// How often the next engine is looked for: at first often, because clients wait.
const (
	retryFirst = 10 * time.Millisecond
	retryLast  = 250 * time.Millisecond
)

// resume waits for the next engine and has it take the process over. An error
// ends the session.
func (s *Session) resume() (*Client, Welcome, error) {
	for delay := retryFirst; ; delay = min(2*delay, retryLast) {
		c, w, err := s.successor()
		if err == nil {
			s.events.Resumed()
			return c, w, nil
		}
		if final(err) || s.ctx.Err() != nil {
			return nil, w, err
		}
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
			return nil, w, s.ctx.Err()
		}
	}
}

// final reports whether an engine has refused to take the process over, or
// brings what this process cannot use.
func final(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code != CodeLater
	}
	return errors.Is(err, errUnusable) || errors.Is(err, errBye)
}

var (
	errUnusable = errors.New("the engine's journal is of no use")
	errBye      = errors.New("the engine has ended")
)

// successor connects once, and tells an engine all that it has to know.
func (s *Session) successor() (*Client, Welcome, error) {
	h := Hello{Resume: true, Service: s.welcome.Service, Instance: s.client.instance}
	c, w, err := dialControl(s.ctx, s.path, h, s.welcome.FD)
	if err != nil {
		return nil, w, err
	}
	if err = s.open(w); err == nil {
		s.mu.Lock()
		for _, l := range s.listeners {
			l.told, l.refused = nothing, nil
		}
		s.mu.Unlock()
		s.set(resuming, c)
		err = s.introduce(c)
	}
	if err != nil {
		s.set(waiting, c)
		c.Close()
		if c.Ended() {
			err = errBye
		}
	}
	return c, w, err
}

// open takes the journal that an engine brings.
func (s *Session) open(w Welcome) error {
	if w.FD < 0 {
		return nil
	}
	if err := s.events.Open(w, s.memory+1); err != nil {
		closeFD(w.FD)
		return errors.Join(errUnusable, err)
	}
	closeFD(s.welcome.FD)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.welcome = w
	s.memory++
	return nil
}

// introduce tells an engine of the listeners and waits until it has taken the
// connections over. What is closed meanwhile it hears last.
func (s *Session) introduce(c *Client) error {
	if err := s.reconcile(c); err != nil {
		return err
	}
	if err := c.Resumed(s.ctx); err != nil {
		return err
	}
	s.set(connected, c)
	return s.reconcile(c)
}

func (s *Session) reconcile(c *Client) error {
	for {
		id, l, to := s.untold()
		var err error
		switch {
		case to == nothing:
			return nil
		case to == protected:
			err = c.Protect(s.ctx, l.protect)
		case to == listens:
			_, err = c.Listening(s.ctx, l.listening)
		case l.told == nothing:
			m := l.protect
			m.Left = true
			err = c.Protect(s.ctx, m)
		default:
			err = c.Closed(s.ctx, Closed{ID: id})
		}
		refusal, refused := errors.AsType[*Error](err)
		if refused && refusal.Code != CodeLater {
			s.events.Refused(id, refusal)
			to = left // there is no more to tell
		} else if err != nil {
			return err
		}
		s.mu.Lock()
		if now := s.listeners[id]; now != nil {
			if refused {
				now.refused = refusal
			}
			now.told = to
			if to == left && now.forget {
				delete(s.listeners, id)
			}
		}
		s.mu.Unlock()
	}
}
