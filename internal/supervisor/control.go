package supervisor

import (
	"context"
	"errors"
)

var (
	// ErrNotRunning is returned by the methods that need Run, when it has not
	// been called or has returned.
	ErrNotRunning = errors.New("the service is not supervised")
	// ErrStarted is returned by Start when the service is not stopped.
	ErrStarted = errors.New("the service is started already")
	// ErrStopped is returned by Restart and Start when a stop came before the
	// new process.
	ErrStopped = errors.New("the service was stopped")
)

// request is what a caller asks of Run.
type request struct {
	kind requestKind
	plan *plan // of restart and update; nil: as it is
	why  error // of fail
	done chan error
}

type requestKind int

const (
	restart requestKind = iota
	stop
	start
	update
	fail
)

// Restart kills the process and what it has forked, with SIGKILL, and starts
// the command again at once; it does not count as a crash. cfg, if not nil, is
// the new configuration (its Signals and Logger are ignored); if it cannot be
// started the old process goes on and the error is a *StartError. A service
// that is stopped, or waits for its next start, is started. Restart returns
// when the new process runs, or says why it does not.
func (s *Supervisor) Restart(ctx context.Context, cfg *Config) error {
	p, err := planOf(cfg)
	if err != nil {
		return err
	}
	return s.ask(ctx, restart, p)
}

// Stop asks the process to stop, as the end of Run's context does, but Run goes
// on: the service can be started again. Stop returns when the process has
// ended; if ctx ends before, the stop goes on.
func (s *Supervisor) Stop(ctx context.Context) error { return s.ask(ctx, stop, nil) }

// Start starts a service that was stopped, with a fresh restart budget, and
// returns when the process runs or says why it does not.
func (s *Supervisor) Start(ctx context.Context) error { return s.ask(ctx, start, nil) }

// Fail kills the process and what it has forked, and ends Run with why: the service
// cannot be served as it is. While no process runs it does nothing. It returns when
// that is under way; why must not be nil.
func (s *Supervisor) Fail(ctx context.Context, why error) error {
	return s.put(ctx, request{kind: fail, why: why})
}

// Update changes the configuration without touching the process: how it is
// stopped and restarted holds from now on, the rest from its next start on.
func (s *Supervisor) Update(ctx context.Context, cfg Config) error {
	p, err := planOf(&cfg)
	if err != nil {
		return err
	}
	return s.ask(ctx, update, p)
}

func planOf(cfg *Config) (*plan, error) {
	if cfg == nil {
		return nil, nil
	}
	return prepare(*cfg)
}

// ask hands a request to Run and waits for its answer.
func (s *Supervisor) ask(ctx context.Context, kind requestKind, p *plan) error {
	return s.put(ctx, request{kind: kind, plan: p})
}

func (s *Supervisor) put(ctx context.Context, q request) error {
	q.done = make(chan error, 1)
	select {
	case <-s.running:
	default:
		return ErrNotRunning
	}
	select {
	case s.requests <- q:
	case <-s.ended:
		return ErrNotRunning
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-q.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waiters are those who wait for one thing.
type waiters []chan error

func (w *waiters) add(q request) { *w = append(*w, q.done) }

// answer tells all of them, who each have room for one answer.
func (w *waiters) answer(err error) {
	for _, done := range *w {
		done <- err
	}
	*w = nil
}

// adopt takes a new configuration, if there is one.
func (r *run) adopt(p *plan) {
	if p == nil {
		return
	}
	p.cfg.Signals, p.cfg.Logger = r.plan.cfg.Signals, r.plan.cfg.Logger
	if b := p.budget(); b.backoff != r.budget.backoff || b.limit != r.budget.limit || b.window != r.budget.window {
		r.budget = b
	}
	r.plan = p
}
