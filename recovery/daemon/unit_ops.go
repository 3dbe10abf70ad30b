package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// awaitLimit is how long a command waits until a service listens. The service
// may take longer; the command then says so.
const awaitLimit = time.Minute

// restarted is what was done to a service that ran, and whose connections are open.
const restarted = "restarted through recovery"

// Answers to what a unit's state does not allow.
var (
	errRuns    = errors.New("runs already")
	errRunsNot = errors.New("does not run")
)

// start starts a unit that does not run and returns what to say when it listens.
func (u *unit) start(ctx context.Context) (string, error) {
	u.op.Lock()
	err := u.launch()
	u.op.Unlock()
	if err != nil {
		return "", fmt.Errorf("%s: %w", u.name, err)
	}
	return u.await(ctx, "started", time.Now())
}

// launch starts a unit that was stopped, has ended, or never ran. u.op is held.
func (u *unit) launch() error {
	svc, st, _ := u.get()
	switch {
	case st == starting || st == serving:
		return errRuns
	case st == stopped && svc != nil:
		return svc.Start()
	}
	if err := u.discard(); err != nil {
		return err
	}
	return u.begin()
}

// stop stops a unit and returns when its connections have drained.
func (u *unit) stop(ctx context.Context) (string, error) {
	u.op.Lock()
	defer u.op.Unlock()
	svc, st, _ := u.get()
	if svc == nil || st == stopped || st == ended {
		return "", fmt.Errorf("%s: %w", u.name, errRunsNot)
	}
	begin := time.Now()
	if err := svc.Stop(ctx); err != nil {
		return "", fmt.Errorf("%s: %w", u.name, err)
	}
	return fmt.Sprintf("%s: stopped, %s", u.name, took(begin)), nil
}

// restart restarts a unit through recovery, with another configuration if c is
// not nil. One that does not run is started, the stopped one only if it was not
// just the configuration that asks for it.
func (u *unit) restart(ctx context.Context, c *config.Service) (string, error) {
	begin, before := time.Now(), u.config()
	what, err := u.relaunch(c)
	if err != nil {
		return "", fmt.Errorf("%s: %w", u.name, err)
	}
	if what == "" {
		return u.name + ": changed, stays stopped", nil
	}
	text, err := u.await(ctx, what, begin)
	if c != nil && errors.As(err, new(*recovery.FellBackError)) {
		u.keep(&before) // the next reload finds the difference again
	}
	return text, err
}

// relaunch does what restart promises, but waits for nothing. what is how to
// call it; nothing was done if it is empty.
func (u *unit) relaunch(c *config.Service) (what string, err error) {
	u.op.Lock()
	defer u.op.Unlock()
	svc, st, _ := u.get()
	if st == starting || st == serving {
		if err := svc.Restart(c); err != nil {
			return "", err
		}
		u.keep(c)
		return restarted, nil
	}
	u.keep(c)
	if c != nil && st == stopped {
		// It is made anew when it is started.
		return "", u.discard()
	}
	return "started", u.launch()
}

// update applies a configuration that needs no restart.
func (u *unit) update(c config.Service) (string, error) {
	u.op.Lock()
	defer u.op.Unlock()
	if svc, _, _ := u.get(); svc != nil {
		if err := svc.Update(c); err != nil {
			return "", fmt.Errorf("%s: %w", u.name, err)
		}
	}
	u.keep(&c)
	return u.name + ": changed without a restart", nil
}

// keep notes a configuration, for the next start and the next difference.
func (u *unit) keep(c *config.Service) {
	if c == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cfg = *c
}

// config returns the configuration in force.
func (u *unit) config() config.Service {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cfg
}

// await waits until the unit listens and says what was done.
func (u *unit) await(ctx context.Context, what string, begin time.Time) (string, error) {
	u.mu.Lock()
	svc, run := u.svc, u.ctx
	u.mu.Unlock()
	if svc == nil {
		return "", u.endError(what, errRemoved)
	}
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	stop := context.AfterFunc(run, cancel)
	defer stop()
	n, err := await(ctx, svc)
	if now, st, why := u.get(); st == ended && now == svc {
		return "", u.endError(what, why)
	}
	switch {
	case err == nil && n > 0 && what == restarted: // else they are of an earlier life
		return fmt.Sprintf("%s: %s, %s, %s", u.name, what, count(n, "connection"), took(begin)), nil
	case err == nil:
		return fmt.Sprintf("%s: %s, %s", u.name, what, took(begin)), nil
	case errors.Is(err, context.DeadlineExceeded):
		return "", fmt.Errorf("%s: %s, but it does not listen%s after %v", u.name, what, missing(err), awaitLimit)
	}
	return "", u.endError(what, err)
}

// missing says where a service does not listen, if that is known.
func missing(err error) string {
	var e *recovery.NotServingError
	if !errors.As(err, &e) || len(e.Missing) == 0 {
		return ""
	}
	return " at " + strings.Join(e.Missing, ", ")
}

// endError says that a unit has ended while it was waited for.
func (u *unit) endError(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%s: %s, but it has ended", u.name, what)
	}
	return fmt.Errorf("%s: %s, but: %w", u.name, what, err)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// took is the time since begin, as people like to read it.
func took(begin time.Time) string {
	d := time.Since(begin)
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
