package daemon

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/internal/supervisor/output"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// state is where a unit is.
//
//	           listens                 asked
//	starting ──────────► serving ─────────────► stopped
//	   ▲  │                │  ▲                    │
//	   │  │ ends of itself │  │ through recovery   │ asked
//	   │  ▼                ▼  └─ starting ◄────────┘
//	   └─ ended ◄──────────┘
//	asked
type state int

const (
	starting state = iota // its process runs, or is about to, and does not listen yet
	serving               // it has begun to listen; a crash is recovery's business
	stopped               // on request
	ended                 // of itself, or it could not be started
)

// errRemoved is the answer of a unit that is no longer in the configuration.
var errRemoved = errors.New("the service is being removed")

// unit is one service of the configuration, running or not.
type unit struct {
	name    string
	add     adder
	log     *output.Log
	capture *output.Capture
	passed  chan struct{} // closed when the output has been passed on to its end
	changed func()        // called without locks when the state has changed

	op sync.Mutex // held while something is done to it, not while its effect is awaited

	mu      sync.Mutex // guards what follows; it may be taken with op held
	cfg     config.Service
	svc     service // nil if it could not be made
	state   state
	err     error           // of ended; nil after an exit with status 0
	result  error           // of run, or why it could not be called
	removed bool            // nothing is done to it any more
	ctx     context.Context // of run; ends when that has returned, too
	cancel  func()          // ends ctx
	done    chan struct{}   // closed when run has returned
}

// newUnit makes a unit whose output is kept and forwarded to out.
func newUnit(h host, add adder, c config.Service, out io.Writer, changed func()) (*unit, error) {
	log := output.NewLog(0)
	capture, err := newCapture(log, h.OutputDir(c.Name))
	if err != nil {
		return nil, err
	}
	u := &unit{name: c.Name, add: add, cfg: c, log: log, capture: capture, changed: changed,
		state: stopped, passed: make(chan struct{})}
	go func() {
		defer close(u.passed)
		_ = output.Forward(context.Background(), log, c.Name+" | ", out) // until log is closed
	}()
	return u, nil
}

// newCapture makes the pipes: lasting ones if there is a directory for them.
func newCapture(log *output.Log, dir string) (*output.Capture, error) {
	if dir == "" {
		return output.NewCapture(log)
	}
	return output.NewLasting(log, dir)
}

// begin makes the service anew and runs it. u.op is held.
func (u *unit) begin() error {
	u.mu.Lock()
	if u.removed {
		u.mu.Unlock()
		return errRemoved
	}
	c := u.cfg
	u.mu.Unlock()
	svc, err := u.add(c, inherit(u.capture.Stdout, u.capture.Stderr))
	if err != nil {
		u.mu.Lock()
		u.result = err
		u.mu.Unlock()
		u.set(nil, ended, err)
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	u.mu.Lock()
	u.svc, u.state, u.err, u.result = svc, starting, nil, nil
	u.ctx, u.cancel, u.done = ctx, cancel, done
	u.mu.Unlock()
	u.changed()
	go func() {
		err := svc.Run(ctx)
		u.mu.Lock()
		u.result = err
		u.mu.Unlock()
		u.set(svc, ended, err)
		cancel()
		close(done)
	}()
	u.watch(svc)
	return nil
}

// watch notes when the service serves. u.op is held.
func (u *unit) watch(svc service) {
	u.mu.Lock()
	ctx := u.ctx
	u.mu.Unlock()
	go func() {
		if _, err := await(ctx, svc); serves(err) {
			u.move(svc, starting, serving)
		}
	}()
}

// serves reports whether a service serves though not all has gone well.
func serves(err error) bool {
	return err == nil || errors.As(err, new(*recovery.FellBackError)) || errors.As(err, new(*recovery.LostError))
}

// set notes a state, unless another service is in its place by now.
func (u *unit) set(svc service, s state, err error) {
	u.mu.Lock()
	if svc != nil && u.svc != svc {
		u.mu.Unlock()
		return
	}
	u.svc, u.state, u.err = svc, s, err
	u.mu.Unlock()
	u.changed()
}

// move is set where the state is still from.
func (u *unit) move(svc service, from, to state) {
	u.mu.Lock()
	ok := u.svc == svc && u.state == from
	if ok {
		u.state = to
	}
	u.mu.Unlock()
	if ok {
		u.changed()
	}
}

// halt notes that the service is stopped, unless it has ended of itself at the
// same time: that one cannot be started as a stopped one can.
func (u *unit) halt(svc service) {
	u.move(svc, starting, stopped)
	u.move(svc, serving, stopped)
}

// get returns what is known.
func (u *unit) get() (service, state, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.svc, u.state, u.err
}

// discard gives the service up after its end. u.op is held.
func (u *unit) discard() error {
	u.mu.Lock()
	svc, done, cancel := u.svc, u.done, u.cancel
	u.svc = nil
	u.mu.Unlock()
	if svc == nil {
		return nil
	}
	cancel()
	<-done
	return svc.Remove()
}

// remove stops the service, waits for its end and gives everything up. A second
// call does nothing.
func (u *unit) remove() error {
	u.mu.Lock()
	again, cancel := u.removed, u.cancel
	u.removed = true
	u.mu.Unlock()
	if again {
		return nil
	}
	// Before the lock: what is under way may be waiting for the service.
	if cancel != nil {
		cancel()
	}
	u.op.Lock()
	defer u.op.Unlock()
	err := u.discard()
	err = errors.Join(err, u.capture.Close())
	u.log.Close()
	return err
}

// failure is why a unit that was removed had not lasted until then; nil if it
// had, or had ended with status 0.
func (u *unit) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	// It was asked to stop, or its start was given up.
	if errors.As(u.result, new(*supervisor.ExitError)) || errors.Is(u.result, context.Canceled) {
		return nil
	}
	return u.result
}
