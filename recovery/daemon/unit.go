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

// state is that of a unit: of its service, if it has one, without what is recovery's
// business, as a crash.
type state int

const (
	starting state = iota // it has not served since it was started
	serving               // it has
	stopped               // on request, or it was never started
	ended                 // of itself, or it could not be started
)

// stateOf is the state of a unit with a service.
func stateOf(now recovery.Standing) state {
	switch {
	case now.State == recovery.Stopped:
		return stopped
	case now.State == recovery.Ended:
		return ended
	case now.Served:
		return serving
	}
	return starting
}

// errRemoved is the answer of a unit that is no longer in the configuration.
var errRemoved = errors.New("the service is being removed")

// unit is one service of the configuration, running or not.
type unit struct {
	name    string
	add     adder
	log     *output.Log
	capture *output.Capture
	passed  chan struct{} // closed when the output has been passed on to its end
	changed func()        // called without locks when the state may have changed

	op sync.Mutex // held while something is done to it, not while its effect is awaited

	mu      sync.Mutex // guards what follows; it may be taken with op held
	cfg     config.Service
	svc     service         // nil: there is none yet, or any more
	err     error           // why svc could not be made, or given up
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
		passed: make(chan struct{})}
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
		u.err, u.result = err, err
		u.mu.Unlock()
		u.changed()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	u.mu.Lock()
	u.svc, u.err, u.result = svc, nil, nil
	u.ctx, u.cancel, u.done = ctx, cancel, done
	u.mu.Unlock()
	go func() {
		err := svc.Run(ctx)
		u.mu.Lock()
		u.result = err
		u.mu.Unlock()
		cancel()
		close(done)
	}()
	go u.follow(svc, done)
	return nil
}

// follow tells of each change of a service until its Run has returned.
func (u *unit) follow(svc service, done <-chan struct{}) {
	for over := false; !over; {
		_, changed := svc.Standing()
		u.changed()
		select {
		case <-changed:
		case <-done:
			over = true
		}
	}
	u.changed()
}

// get returns what is known: the service, if there is one, and why the unit has ended.
func (u *unit) get() (service, state, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.svc != nil:
		now, _ := u.svc.Standing()
		return u.svc, stateOf(now), now.Err
	case u.err != nil:
		return nil, ended, u.err
	}
	return nil, stopped, nil
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
	err := svc.Remove()
	u.mu.Lock()
	u.err = err
	u.mu.Unlock()
	u.changed()
	return err
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
