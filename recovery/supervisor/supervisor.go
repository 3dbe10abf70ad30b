package supervisor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Supervisor runs one command. Make it with [New].
type Supervisor struct {
	cfg     Config
	hooks   Hooks
	path    string
	account account
	budget  budget
}

// New checks the configuration: the command must exist and the user be known.
// These errors are *StartError. hooks may be nil.
func New(cfg Config, hooks Hooks) (*Supervisor, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if hooks == nil {
		hooks = NoHooks{}
	}
	fail := func(err error) (*Supervisor, error) {
		return nil, &StartError{Command: cfg.Command[0], Err: err}
	}
	path, err := exec.LookPath(cfg.Command[0])
	if err != nil {
		return fail(err)
	}
	acc, err := lookup(cfg.User)
	if err != nil {
		return fail(err)
	}
	if cfg.Dir != "" {
		if st, err := os.Stat(cfg.Dir); err != nil {
			return fail(err)
		} else if !st.IsDir() {
			return fail(&os.PathError{Op: "chdir", Path: cfg.Dir, Err: syscall.ENOTDIR})
		}
	}
	return &Supervisor{
		cfg: cfg, hooks: hooks, path: path, account: acc,
		budget: budget{backoff: cfg.Backoff, limit: cfg.RestartLimit, window: cfg.RestartWindow},
	}, nil
}

// Run starts the command and returns when it has ended for good. The end of
// ctx asks it to stop, as SIGTERM does; Run still waits for the process. The
// result is
//
//   - nil if the process exited with status 0, asked or not,
//   - *ExitError if it was asked to stop and ended otherwise,
//   - *GaveUpError if it crashed too often,
//   - *StartError if it cannot be started,
//   - the error of Hooks.Starting, wrapped.
//
// Run may be called once.
func (s *Supervisor) Run(ctx context.Context) error {
	signals := s.cfg.Signals
	if signals == nil {
		own, unsubscribe := Subscribe()
		defer unsubscribe()
		signals = own
	}
	f := newForker()
	defer f.close()

	var last Exit
	for attempt := 1; ; attempt++ {
		env, err := s.hooks.Starting(attempt)
		if err != nil {
			return fmt.Errorf("preparing start %d of %q: %w", attempt, s.cfg.Command[0], err)
		}
		p, err := s.spawn(f, env)
		if err != nil && permanent(err) {
			start := &StartError{Command: s.cfg.Command[0], Err: err}
			s.hooks.GaveUp(start)
			return start
		}
		if err == nil {
			last = s.attend(ctx, p, signals, attempt)
			s.hooks.Exited(last)
			switch {
			case last.Kind == Crashed:
			case last.Status() == 0:
				return nil
			default:
				return &ExitError{Exit: last}
			}
			s.cfg.Logger.Warn("the process crashed", "pid", last.PID, "exit", last.String(), "ran", last.Ran)
		} else {
			last = Exit{Kind: Crashed, Attempt: attempt, Code: -1, At: time.Now()}
			s.cfg.Logger.Warn("the process could not be started, trying again", "error", err)
		}

		delay, n, within, ok := s.budget.crash(last.At, last.Ran)
		if !ok {
			gaveUp := &GaveUpError{Crashes: n, Limit: s.cfg.RestartLimit, Window: s.cfg.RestartWindow,
				Within: within, Last: err, Exit: last}
			s.hooks.GaveUp(gaveUp)
			return gaveUp
		}
		if !s.pause(ctx, delay, signals) {
			s.hooks.Stopping()
			last.Kind = Stopped
			return &ExitError{Exit: last}
		}
	}
}

// attend watches one process until it was reaped and passes signals on.
func (s *Supervisor) attend(ctx context.Context, p *process, signals <-chan os.Signal, attempt int) Exit {
	s.hooks.Started(p.cmd.Process.Pid)
	s.cfg.Logger.Debug("the process runs", "pid", p.cmd.Process.Pid, "attempt", attempt)

	var (
		cancelled = ctx.Done()
		deadline  <-chan time.Time
		stopping  bool // an end from now on is a stop
		killed    bool
		hup       bool
	)
	stop := func() {
		if !stopping {
			stopping = true
			s.hooks.Stopping()
		}
	}
	arm := func() {
		if deadline == nil {
			deadline = time.After(s.cfg.StopTimeout)
		}
	}
	for {
		select {
		case exit := <-p.done:
			exit.Attempt, exit.Killed = attempt, killed
			if stopping || hup && exit.Signal == syscall.SIGHUP {
				exit.Kind = Stopped
			}
			return exit
		case <-cancelled:
			cancelled = nil
			stop()
			arm()
			s.forward(p, syscall.SIGTERM)
		case got := <-signals:
			sig, ok := got.(syscall.Signal)
			if !ok {
				continue
			}
			switch sig {
			case syscall.SIGTERM, syscall.SIGINT:
				stop()
				arm()
			case syscall.SIGQUIT:
				stop()
			case syscall.SIGHUP:
				hup = true
			}
			s.forward(p, sig)
		case <-deadline:
			killed = true
			s.cfg.Logger.Warn("the process did not stop in time and is killed", "pid", p.cmd.Process.Pid,
				"timeout", s.cfg.StopTimeout)
			p.kill()
		}
	}
}

// forward sends sig to the child unless the terminal has done that already.
func (s *Supervisor) forward(p *process, sig syscall.Signal) {
	if !p.ownGroup && fromTerminal(sig) {
		if _, foreground := controllingTerminal(); foreground {
			return
		}
	}
	if err := p.signal(sig); err != nil {
		s.cfg.Logger.Debug("signal not delivered", "signal", sig, "error", err) // it has just ended
	}
}

// pause waits before a restart. It returns false if a stop was asked for.
func (s *Supervisor) pause(ctx context.Context, d time.Duration, signals <-chan os.Signal) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		// A request that came before the timer fired must win over it.
		select {
		case got := <-signals:
			if stops(got) {
				return false
			}
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return false
		case got := <-signals:
			if stops(got) {
				return false
			}
		case <-timer.C:
			return ctx.Err() == nil
		}
	}
}

// stops reports whether a signal asks for the end while no process runs.
func stops(sig os.Signal) bool {
	return sig != syscall.SIGUSR1 && sig != syscall.SIGUSR2 && sig != syscall.SIGWINCH
}
