package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Events are the notifications of a [Session] to its owner. Calls do not overlap.
// The methods must not call the session.
type Events interface {
	// Open is called when an engine provides a journal: always by the first engine, by
	// a later one if it has not adopted its predecessor's journal. memory numbers the
	// journals from 1. The session owns w.FD. An error ends the session.
	Open(w Welcome, memory uint64) error
	// Lost is called when the engine has ended. If again, the session waits for the
	// next one; else the session has ended: why is nil if the engine ended on purpose.
	Lost(again bool, why error)
	// Refused is called for a listener that the next engine does not protect.
	Refused(id uint64, why error)
	// Resumed is called when the next engine has taken over.
	Resumed()
}

// Session is a server process's link to the engine at a path, whichever that
// is at the time.
//
//	          Dial             Bye, or not Welcome.Returns
//	(none) ─────────► connected ──────────────────────────► ended
//	                   │     ▲                              ▲ ▲
//	    lost, no Bye   │     │ Announcement                 │ │ refused
//	                   ▼     │ answered                     │ │
//	                 waiting ───────────► resuming ─────────┘ │
//	                   ▲ │    connected,    │                 │
//	                   └─┼──── Hello ───────┘ lost            │
//	                     └──────────────────────────────────────
//
// Requests that a killed engine has not answered are sent to the next engine. The
// methods may be called concurrently.
type Session struct {
	path   string
	events Events
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{} // closed when the session has ended

	mu        sync.Mutex // guards what follows
	state     sessionState
	changed   chan struct{} // closed and replaced when state or client changes
	client    *Client       // the present engine's, or the last one's
	welcome   Welcome       // of the engine that provided the journal
	memory    uint64        // number of the journal
	why       error         // of ended
	returns   bool          // another engine follows if the present one is killed
	listeners map[uint64]*listener
	set       uint64  // counts the changes of listeners
	informed  *Client // the engine to which listeners were announced last
	known     uint64  // the set that was announced to it

	announcing sync.Mutex // held while listeners are announced, so that engines get the sets in order
}

type sessionState int

const (
	connected sessionState = iota
	waiting
	resuming
	ended
)

// patience is how long Protect and Listening wait for the next engine. The other
// methods wait until their context ends.
const patience = 30 * time.Second

// superseded bounds how long after a failed request the end of the control connection
// is noticed, if the engine has ended.
const superseded = time.Second

// DialSession begins a session. Its end is that of the process, or [Session.Close].
func DialSession(ctx context.Context, path string, events Events) (*Session, error) {
	c, w, err := Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	s := &Session{path: path, events: events, done: make(chan struct{}), changed: make(chan struct{}),
		client: c, informed: c, memory: 1, welcome: w, returns: w.Returns, listeners: map[uint64]*listener{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := events.Open(w, s.memory); err != nil {
		c.Close()
		closeFD(w.FD)
		return nil, err
	}
	if !w.Returns { // nobody will ask for it
		closeFD(w.FD)
		s.welcome.FD = -1
	}
	go s.run()
	return s, nil
}

// run keeps the session until it ends.
func (s *Session) run() {
	defer close(s.done)
	c, returns := s.client, s.returns
	for {
		select {
		case <-c.Lost():
		case <-s.ctx.Done():
			c.Close()
		}
		if s.ctx.Err() != nil || c.Ended() || !returns {
			s.finish(nil)
			break
		}
		s.become(waiting, c)
		s.events.Lost(true, nil)
		next, welcome, err := s.resume()
		if errors.Is(err, errBye) {
			s.finish(nil)
			break
		}
		if err != nil {
			s.finish(err)
			break
		}
		c, returns = next, welcome.Returns
		s.mu.Lock()
		s.returns = returns
		s.mu.Unlock()
	}
	if s.welcome.FD >= 0 { // nobody else changes it
		closeFD(s.welcome.FD)
	}
}

// become changes the state.
func (s *Session) become(to sessionState, c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.client = to, c
	close(s.changed)
	s.changed = make(chan struct{})
}

// finish ends the session.
func (s *Session) finish(why error) {
	s.mu.Lock()
	s.why = why
	c := s.client
	s.mu.Unlock()
	s.become(ended, c)
	if s.ctx.Err() == nil {
		s.events.Lost(false, why)
	}
}

// Done is closed when the session has ended: requests fail from then on.
func (s *Session) Done() <-chan struct{} { return s.done }

// Close ends the session. For the engine the process has then ended.
func (s *Session) Close() error {
	s.cancel()
	<-s.done
	return nil
}

// current waits for an engine. If memory is not 0, the journal has to be that.
func (s *Session) current(ctx context.Context, memory uint64) (*Client, error) {
	for {
		s.mu.Lock()
		state, c, why, changed := s.state, s.client, s.why, s.changed
		stale := memory != 0 && memory != s.memory
		s.mu.Unlock()
		switch {
		case stale:
			return nil, &Error{CodeStale, "the connection was the engine's before"}
		case state == connected:
			return c, nil
		case state == ended && why != nil:
			return nil, fmt.Errorf("%w: %w", ErrLost, why)
		case state == ended:
			return nil, ErrLost
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// do asks an engine by f, and the next one if that one is killed.
func (s *Session) do(ctx context.Context, memory uint64, f func(*Client) error) error {
	for {
		c, err := s.current(ctx, memory)
		if err != nil {
			return err
		}
		if err = f(c); !errors.Is(err, ErrLost) || !s.replaced(ctx, c) {
			return err
		}
	}
}

// replaced reports whether c is no longer the engine to ask, which may show only
// now.
func (s *Session) replaced(ctx context.Context, c *Client) bool {
	late := time.NewTimer(superseded)
	defer late.Stop()
	for {
		s.mu.Lock()
		state, now, changed, returns := s.state, s.client, s.changed, s.returns
		s.mu.Unlock()
		if state == ended || !returns {
			return false // it is as c says
		}
		if now != c || state != connected {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		case <-late.C:
			return false
		}
	}
}

// patient bounds the wait for an engine. The returned function makes the error
// of a wait that was too long.
func patient(ctx context.Context) (context.Context, func(error) error) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	return bounded, func(err error) error {
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return fmt.Errorf("%w, and none has come back within %v", ErrLost, patience)
		}
		return err
	}
}

// ReadLog is Client.ReadLog for a connection of the journal with that number. It
// waits for the next engine, and asks again where nothing but a data connection has
// broken: the caller could only give its own connection up.
func (s *Session) ReadLog(ctx context.Context, memory uint64, slot, gen uint32, off int64, p []byte) (int, error) {
	return s.readLog(ctx, memory, ReadLog{Slot: slot, Gen: gen, Off: off, N: min(len(p), MaxRead)}, p)
}

// ReadState returns the state of the base of a connection of the journal with that number; in is
// where the base lies in the client's stream. nil is none. It waits as ReadLog does.
func (s *Session) ReadState(ctx context.Context, memory uint64, slot, gen uint32, in int64) ([]byte, error) {
	p := make([]byte, MaxState)
	n, err := s.readLog(ctx, memory, ReadLog{Slot: slot, Gen: gen, Off: in, N: MaxState, State: true}, p)
	if n == 0 || err != nil {
		return nil, err
	}
	return p[:n:n], nil
}

func (s *Session) readLog(ctx context.Context, memory uint64, r ReadLog, p []byte) (int, error) {
	for delay := retryFirst; ; delay = min(2*delay, retryLast) {
		c, err := s.current(ctx, memory)
		if err != nil {
			return 0, err
		}
		n, err := c.ask(ctx, r, p)
		if !errors.Is(err, ErrLost) {
			return n, err
		}
		select {
		case <-time.After(delay): // then current knows whether the engine is gone
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Mismatch is Client.Mismatch for a connection of the journal with that number.
// It does not wait for the next engine.
func (s *Session) Mismatch(ctx context.Context, memory uint64, m Mismatch) error {
	s.mu.Lock()
	c, ok := s.client, s.state == connected && memory == s.memory
	s.mu.Unlock()
	if !ok {
		return ErrLost
	}
	return c.Mismatch(ctx, m)
}
