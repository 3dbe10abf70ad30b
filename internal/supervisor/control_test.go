package supervisor

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (r *rig) hooks() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.calls, ",")
}

// TestRestart: a planned crash does not count, and is as sudden as a real one.
func TestRestart(t *testing.T) {
	r := newRig(t).run(t.Context(), "stubborn", func(c *Config) {
		c.RestartLimit, c.StopTimeout = 0, 10*time.Millisecond
	})
	last := r.pid()
	for range 5 {
		if err := r.s.Restart(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		pid := r.pid()
		if pid == last {
			t.Fatal("the same process")
		}
		last = pid
	}
	for _, e := range r.ends() {
		if e.Kind != Planned || !e.Again || e.Signal != syscall.SIGKILL || e.String() != "restarted on request" {
			t.Errorf("%+v", e)
		}
	}
	want := "starting 1,started,exited planned 137,starting 2,started"
	if got := r.hooks(); !strings.HasPrefix(got, want) {
		t.Errorf("hooks %s", got)
	}
}

// TestRestartWithConfig: the new command, environment and policies hold.
func TestRestartWithConfig(t *testing.T) {
	r := newRig(t).run(t.Context(), "wait", nil)
	r.pid()
	cfg := r.cfg
	cfg.Env = append(os.Environ(), roleEnv+"=print NEW", "NEW=it is")
	cfg.Command = []string{os.Args[0], "argument"}
	if err := r.s.Restart(t.Context(), &cfg); err != nil {
		t.Fatal(err)
	}
	if got := r.line(); got != "it is" {
		t.Errorf("got %q", got)
	}
	if err := r.wait(); err != nil { // it exits with status 0
		t.Error(err)
	}
	if err := r.s.Restart(t.Context(), nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

// TestRestartRefused: what cannot be started does not end what runs.
func TestRestartRefused(t *testing.T) {
	r := newRig(t).run(t.Context(), "cat", nil)
	pid := r.pid()
	cfg := r.cfg
	cfg.Command = []string{"/ftnet/no/such/file"}
	var start *StartError
	if err := r.s.Restart(t.Context(), &cfg); !errors.As(err, &start) {
		t.Errorf("error %v", err)
	}
	r.in.WriteString("alive\n")
	if got := r.line(); got != "alive" {
		t.Errorf("process %d: %q", pid, got)
	}
}

// TestStopAndStart: the supervision goes on while nothing runs.
func TestStopAndStart(t *testing.T) {
	r := newRig(t).run(t.Context(), "report 0", func(c *Config) { c.RestartLimit = 0 })
	r.pid()
	if err := r.s.Start(t.Context()); !errors.Is(err, ErrStarted) {
		t.Errorf("started twice: %v", err)
	}
	if err := r.s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.line(); got != "15" {
		t.Errorf("asked to stop by %s", got)
	}
	if err := r.s.Stop(t.Context()); err != nil { // again
		t.Error(err)
	}
	if err := r.s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.pid()
	if err := r.s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.line()
	if err := r.s.Restart(t.Context(), nil); err != nil { // of a stopped one: a start
		t.Fatal(err)
	}
	r.pid()
	want := "starting 1,started,stopping,exited stopped 0,halted,starting 2,started,stopping,exited stopped 0,halted,starting 3,started"
	if got := r.hooks(); got != want {
		t.Errorf("hooks %s", got)
	}
}

// TestEndWhileStopped: the end of a stopped service is no failure.
func TestEndWhileStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := newRig(t).run(ctx, "report 3", nil)
	r.pid()
	if err := r.s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

// TestStopDuringBackoff: a service that waits for its next start stops at once.
func TestStopDuringBackoff(t *testing.T) {
	r := newRig(t).run(t.Context(), "exit 9", func(c *Config) {
		c.Backoff = Backoff{First: time.Hour, Max: time.Hour, StableAfter: time.Hour}
	})
	for r.exitCount() < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := r.s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.hooks(); !strings.HasSuffix(got, "exited crashed 9,stopping,halted") {
		t.Errorf("hooks %s", got)
	}
	// The start after it does not wait for the old backoff.
	if err := r.s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for r.exitCount() < 4 {
		time.Sleep(time.Millisecond)
	}
	if err := r.s.Restart(t.Context(), nil); err != nil { // nor does a restart
		t.Fatal(err)
	}
}

func TestStopSignal(t *testing.T) {
	r := newRig(t).run(t.Context(), "report 0", func(c *Config) {
		c.StopSignal, c.StopTimeout = syscall.SIGUSR2, time.Minute
	})
	pid := r.pid()
	r.signals <- syscall.SIGTERM
	if got := r.line(); got != "12" {
		t.Errorf("asked to stop by %s", got)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *ExitError
	if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Kind != Stopped {
		t.Error(err)
	}
}

func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy  Policy
		role    string
		starts  int
		gaveUp  bool
		limited int
	}{
		{OnCrash, "exit 0", 1, false, 3},
		{Never, "exit 0", 1, false, 3},
		{Always, "exit 0", 4, true, 3}, // an exit in a loop uses the budget up
		{OnCrash, "exit 1", 4, true, 3},
		{Never, "exit 1", 1, true, 3},
	} {
		t.Run(string(tt.policy)+" "+tt.role, func(t *testing.T) {
			r := newRig(t).run(t.Context(), tt.role, func(c *Config) { c.Restart, c.RestartLimit = tt.policy, tt.limited })
			var gaveUp *GaveUpError
			if err := r.wait(); errors.As(err, &gaveUp) != tt.gaveUp || !tt.gaveUp && err != nil {
				t.Errorf("Run returned %v", err)
			}
			if len(r.ends()) != tt.starts {
				t.Errorf("%d starts, want %d", len(r.ends()), tt.starts)
			}
			if kind := r.ends()[0].Kind; (kind == Clean) != (tt.role == "exit 0") {
				t.Errorf("the first end was %v", kind)
			}
		})
	}
	if _, err := New(Config{Command: []string{"true"}, Restart: "sometimes"}, nil); err == nil {
		t.Error("no error for an unknown policy")
	}
}

// TestUpdate: how a process is stopped and restarted changes while it runs.
func TestUpdate(t *testing.T) {
	r := newRig(t).run(t.Context(), "stubborn", func(c *Config) { c.StopTimeout = time.Hour })
	pid := r.pid()
	cfg := r.cfg
	cfg.StopTimeout, cfg.RestartLimit = 20*time.Millisecond, 0
	cfg.Env = append(os.Environ(), roleEnv+"=print X", "X=next time")
	if err := r.s.Update(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := r.ends()[0]; e.PID != pid || !e.Killed {
		t.Errorf("%+v", e)
	}
	if err := r.s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.line(); got != "next time" {
		t.Errorf("the environment of the next start: %q", got)
	}
}

// TestEnded: an error of the hook ends the supervision, after the burial.
func TestEnded(t *testing.T) {
	r := newRig(t)
	boom := errors.New("boom")
	r.onEnded = func(e Exit) error {
		if err := syscall.Kill(e.PID, 0); err != nil {
			t.Errorf("the process is reaped already: %v", err)
		}
		return boom
	}
	r.run(t.Context(), "exit 1", nil)
	if err := r.wait(); !errors.Is(err, boom) {
		t.Errorf("Run returned %v", err)
	}
	if len(r.ends()) != 1 || r.ends()[0].Again {
		t.Errorf("exits %+v", r.ends())
	}
}

// TestAskBeforeRun: a supervisor that does not run says so.
func TestAskBeforeRun(t *testing.T) {
	s, err := New(Config{Command: []string{"true"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
}
