package supervisor

import (
	"os"
	"syscall"
	"time"
)

// attendance is what has been asked of one process.
type attendance struct {
	p        *process
	deadline <-chan time.Time // of the stop
	stopping bool             // an end from now on is a stop
	ending   bool             // Run is to return then
	planned  bool             // it was killed to be started again
	killed   bool             // it was killed because it did not stop
	hup      bool             // a death by SIGHUP is a stop
	failed   error            // why Run is to end with the process; nil: it is not
}

// attend watches one process until it was reaped; meanwhile it passes signals
// on and does what is asked. The error is that of Hooks.Ended.
func (r *run) attend(p *process) (Exit, error) {
	pid := p.pid
	r.s.hooks.Started(pid)
	r.plan.cfg.Logger.Debug("the process runs", "pid", pid, "attempt", r.attempt)
	a := &attendance{p: p}
	cancelled := r.ctx.Done()
	for {
		select {
		case exit := <-p.done:
			return r.exited(a, exit)
		case <-cancelled:
			cancelled = nil
			a.ending = true
			r.stop(a, syscall.SIGTERM)
		case got := <-r.signals:
			if sig, ok := got.(syscall.Signal); ok {
				r.signalled(a, sig)
			}
		case q := <-r.s.requests:
			r.asked(a, q)
		case <-a.deadline:
			a.killed = true
			r.plan.cfg.Logger.Warn("the process did not stop in time and is killed", "pid", pid,
				"timeout", r.plan.cfg.StopTimeout)
			p.body.kill()
		}
	}
}

// exited classifies the end of a process and buries it.
func (r *run) exited(a *attendance, exit Exit) (Exit, error) {
	exit.Attempt, exit.Killed = r.attempt, a.killed
	if exit.Unknown && a.stopping && !a.killed {
		exit.Code = 0 // as it was asked
	}
	switch {
	case a.planned && !a.ending:
		exit.Kind, exit.Again = Planned, true
	case a.stopping || a.hup && exit.Signal == syscall.SIGHUP:
		exit.Kind, exit.Again = Stopped, a.stopping && !a.ending
	case r.onTrial(): // whatever it says: its predecessor is to serve
		exit.Kind, exit.Again = Crashed, true
	case exit.Kind == Crashed, r.plan.cfg.Restart == Always:
		exit.Again = true
	}
	err := r.s.hooks.Ended(exit)
	if a.failed != nil && exit.Kind != Stopped && exit.Kind != Planned {
		err = a.failed
	}
	if err != nil && r.onTrial() {
		r.plan.cfg.Logger.Error("the new process has ended", "error", err)
		err = nil
	}
	if err != nil {
		exit.Again = false
	}
	if err := a.p.body.bury(); err != nil {
		r.plan.cfg.Logger.Error("descendants of the process still run", "error", err)
	}
	if a.p.recorder != nil {
		if err := a.p.recorder.Forget(); err != nil {
			r.plan.cfg.Logger.Warn("state of an ended process not removed", "error", err)
		}
	}
	r.s.hooks.Exited(exit)
	return exit, err
}

// signalled acts on a signal to this process.
func (r *run) signalled(a *attendance, sig syscall.Signal) {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT:
		a.ending = true
		r.stop(a, sig)
		return
	case syscall.SIGQUIT:
		a.ending = true
		r.stops(a)
	case syscall.SIGHUP:
		a.hup = true
	}
	r.forward(a.p, sig)
}

// stop asks the process to end, with the signal of the configuration or else sig.
func (r *run) stop(a *attendance, sig syscall.Signal) {
	r.stops(a)
	if a.deadline == nil {
		a.deadline = time.After(r.plan.cfg.StopTimeout)
	}
	if own := r.plan.cfg.StopSignal; own != 0 && !r.fromForeground(a.p, sig) {
		sig = own
	}
	r.forward(a.p, sig)
}

// stops notes that the process is asked to end.
func (r *run) stops(a *attendance) {
	if !a.stopping {
		a.stopping = true
		r.s.hooks.Stopping()
	}
}

// asked does what a caller wants while the process runs.
func (r *run) asked(a *attendance, q request) {
	switch q.kind {
	case restart:
		if a.ending {
			q.done <- ErrNotRunning
			return
		}
		if q.plan != nil {
			r.next = q.plan
		}
		r.keep()
		r.started.add(q)
		a.planned = true
		a.p.body.killGroup()
		a.p.body.kill()
	case stop:
		r.halted.add(q)
		a.planned = false
		r.stop(a, syscall.SIGTERM)
	case start:
		q.done <- ErrStarted
	case update:
		r.adopt(q.plan)
		q.done <- nil
	case fail:
		if a.failed == nil {
			a.failed = q.why
		}
		a.p.body.killGroup()
		a.p.body.kill()
		q.done <- nil
	}
}

// forward sends sig to the child unless the terminal has done that already.
func (r *run) forward(p *process, sig syscall.Signal) {
	if r.fromForeground(p, sig) {
		return
	}
	if err := p.body.signal(sig); err != nil {
		r.plan.cfg.Logger.Debug("signal not delivered", "signal", sig, "error", err) // it has just ended
	}
}

// fromForeground reports whether a signal came from the terminal, and so to the
// child, too.
func (r *run) fromForeground(p *process, sig syscall.Signal) bool {
	if p.ownGroup || !fromTerminal(sig) {
		return false
	}
	_, foreground := controllingTerminal()
	return foreground
}

// verdict says what follows a pause.
type verdict int

const (
	goOn   verdict = iota // the next start
	halted                // Stop came
	ending                // Run is to return
)

// pause waits before a restart.
func (r *run) pause(d time.Duration) verdict {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		// A request that came before the timer fired must win over it.
		select {
		case got := <-r.signals:
			if Stops(got) {
				return ending
			}
			continue
		default:
		}
		select {
		case <-r.ctx.Done():
			return ending
		case got := <-r.signals:
			if Stops(got) {
				return ending
			}
		case q := <-r.s.requests:
			switch q.kind {
			case restart:
				r.started.add(q)
				r.next = q.plan
				return goOn
			case stop:
				r.halted.add(q)
				return halted
			case start:
				q.done <- ErrStarted
			case update:
				r.adopt(q.plan)
				q.done <- nil
			case fail:
				q.done <- nil
			}
		case <-timer.C:
			if r.ctx.Err() != nil {
				return ending
			}
			return goOn
		}
	}
}

// idle waits while the service is stopped. It returns false if Run is to return.
func (r *run) idle() bool {
	for {
		select {
		case <-r.ctx.Done():
			return false
		case got := <-r.signals:
			if Stops(got) {
				return false
			}
		case q := <-r.s.requests:
			switch q.kind {
			case restart, start:
				r.started.add(q)
				r.next = q.plan
				return true
			case stop, fail:
				q.done <- nil
			case update:
				r.adopt(q.plan)
				q.done <- nil
			}
		}
	}
}

// Stops reports whether a signal asks for the end while no process runs.
func Stops(sig os.Signal) bool {
	return sig != syscall.SIGUSR1 && sig != syscall.SIGUSR2 && sig != syscall.SIGWINCH
}
