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

// resume waits for the next engine and asks it to take over the process. An error
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

// final reports whether an engine has refused to take over the process, or provides
// a journal that this process cannot use.
func final(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code != CodeLater
	}
	return errors.Is(err, errUnusable) || errors.Is(err, errBye)
}

var (
	errUnusable = errors.New("the engine's journal cannot be used")
	errBye      = errors.New("the engine has ended")
)

// successor connects once, and sends the engine all that it needs to take over.
func (s *Session) successor() (*Client, Welcome, error) {
	h := Hello{Resume: true, Service: s.welcome.Service, Instance: s.client.instance}
	c, w, err := dialControl(s.ctx, s.path, h, s.welcome.FD)
	if err != nil {
		return nil, w, err
	}
	if err = s.open(w); err == nil {
		s.become(resuming, c)
		err = s.introduce(c)
	}
	if err != nil {
		s.become(waiting, c)
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
	if err := s.announce(s.ctx, c); err != nil {
		return err
	}
	refused := map[uint64]*Error{}
	s.mu.Lock()
	for id, l := range s.listeners {
		if e := l.answer.Refused; e != nil {
			refused[id] = e
		}
	}
	s.mu.Unlock()
	for id, e := range refused {
		if e.Code == CodeLater {
			return e
		}
		s.events.Refused(id, e)
	}
	s.become(connected, c)
	return s.announce(s.ctx, c)
}
