package supervisor

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Supervisor runs one command. Make it with [New].
type Supervisor struct {
	plan     *plan
	hooks    Hooks
	mark     string // of its children
	taken    *Survivor
	requests chan request
	running  chan struct{} // closed when Run begins
	ended    chan struct{} // closed when it returns
	// confirmed tells that the present process serves.
	confirmed atomic.Bool
}

// New checks the configuration: the command must exist and user and groups be
// known. These errors are *StartError. hooks may be nil.
func New(cfg Config, hooks Hooks) (*Supervisor, error) {
	p, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	if hooks == nil {
		hooks = NoHooks{}
	}
	return &Supervisor{plan: p, hooks: hooks, mark: newMark(), requests: make(chan request),
		running: make(chan struct{}), ended: make(chan struct{})}, nil
}

// run is one call of Supervisor.Run. Only its goroutine touches it.
type run struct {
	s       *Supervisor
	ctx     context.Context
	signals <-chan os.Signal
	forker  *forker
	plan    *plan
	budget  budget
	attempt int
	last    Exit
	failed  error // why the last start failed, if it did

	started waiters // for the next start
	halted  waiters // for the end that Stop has asked for
	next    *plan   // of the next start; nil: as before

	program  *os.File // of the process that was started last; nil if it is not known
	fallback *plan    // what Restart has replaced, until the new process serves
}

// Run starts the command and returns when it has ended for good. The end of
// ctx asks it to stop, as SIGTERM does; Run still waits for the process. The
// result is
//
//   - nil if the process exited with status 0, asked or not, or was stopped
//     by Stop,
//   - *ExitError if it was asked to stop and ended otherwise,
//   - *GaveUpError if it crashed too often,
//   - *StartError if it cannot be started,
//   - the error of Hooks.Starting or Hooks.Ended, or that of Fail, wrapped.
//
// Run may be called once.
func (s *Supervisor) Run(ctx context.Context) error {
	r := &run{s: s, ctx: ctx, plan: s.plan, signals: s.plan.cfg.Signals, budget: s.plan.budget(), forker: newForker()}
	defer r.forker.close()
	if r.signals == nil {
		own, unsubscribe := Subscribe()
		defer unsubscribe()
		r.signals = own
	}
	close(s.running)
	defer func() {
		close(s.ended)
		r.started.answer(ErrNotRunning)
		r.halted.answer(nil)
	}()
	for {
		if over, err := r.once(); over {
			return err
		}
	}
}

// once starts the command, sees to it until its end, and waits for the time of
// the next start. It returns true if there is none, and the result of Run.
func (r *run) once() (over bool, err error) {
	r.attempt++
	r.adopt(r.next)
	r.next = nil
	command := r.plan.cfg.Command[0]
	var p *process
	if r.attempt == 1 && r.s.taken != nil {
		p = r.s.taken.process(r.plan.cfg.Survive)
	} else {
		r.s.confirmed.Store(false)
		env, err := r.s.hooks.Starting(r.attempt)
		if err != nil {
			err = fmt.Errorf("preparing start %d of %q: %w", r.attempt, command, err)
			r.started.answer(err)
			return true, err
		}
		p, err = r.spawn(env)
		r.failed = err
	}
	err = r.failed
	switch {
	case err == nil:
		r.started.answer(nil)
		if r.last, err = r.attend(p); err != nil {
			return true, fmt.Errorf("%q has ended: %w", command, err)
		}
	case permanent(err) && r.onTrial():
		r.fallBack(&StartError{Command: command, Err: err})
		return false, nil
	case permanent(err):
		err = &StartError{Command: command, Err: err}
		r.s.hooks.GaveUp(err)
		r.started.answer(err)
		return true, err
	default:
		r.last = Exit{Kind: Crashed, Attempt: r.attempt, Code: -1, At: time.Now(), Again: true}
		r.plan.cfg.Logger.Warn("the process could not be started, trying again", "error", err)
	}
	switch {
	case r.last.Kind == Crashed && r.failed == nil && r.onTrial():
		r.fallBack(fmt.Errorf("the new process has ended before it listened: %v", r.last))
		return false, nil
	case r.last.Kind == Planned:
		r.halted.answer(nil) // it had not ended when Restart came
		return false, nil
	case r.last.Kind == Stopped && r.last.Again: // by Stop
		return r.halt()
	case r.last.Again:
		return r.after()
	case r.last.Status() == 0:
		return true, nil
	}
	return true, &ExitError{Exit: r.last}
}

// after waits between an end that nobody asked for and the next start, or gives up.
func (r *run) after() (over bool, err error) {
	if r.failed == nil {
		r.plan.cfg.Logger.Warn("the process has ended and is started again", "pid", r.last.PID,
			"exit", r.last.String(), "ran", r.last.Ran)
	}
	delay, n, within, ok := r.budget.crash(r.last.At, r.last.Ran)
	if !ok {
		gaveUp := &GaveUpError{Crashes: n, Limit: r.budget.limit, Window: r.budget.window,
			Within: within, Last: r.failed, Exit: r.last}
		r.s.hooks.GaveUp(gaveUp)
		r.started.answer(gaveUp)
		return true, gaveUp
	}
	switch r.pause(delay) {
	case goOn:
		return false, nil
	case halted:
		r.s.hooks.Stopping()
		return r.halt()
	}
	r.s.hooks.Stopping()
	r.last.Kind = Stopped
	return true, &ExitError{Exit: r.last}
}

// halt waits, while the service is stopped, for its next start.
func (r *run) halt() (over bool, err error) {
	r.s.hooks.Halted()
	r.halted.answer(nil)
	r.started.answer(ErrStopped)
	r.budget = r.plan.budget()
	return !r.idle(), nil
}
