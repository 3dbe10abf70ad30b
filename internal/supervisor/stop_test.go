package supervisor

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func TestStop(t *testing.T) {
	t.Run("by signal, status 0", func(t *testing.T) {
		r := newRig(t).run(t.Context(), "report 0", nil)
		r.pid()
		r.signals <- syscall.SIGTERM
		if err := r.wait(); err != nil {
			t.Error(err)
		}
		if e := r.exits[0]; e.Kind != Stopped || e.Killed {
			t.Errorf("%+v", e)
		}
	})
	t.Run("by context, status 7", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := newRig(t).run(ctx, "report 7", nil)
		r.pid()
		cancel()
		var exit *ExitError
		if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Status() != 7 {
			t.Error(err)
		}
	})
	t.Run("kill after the time-out", func(t *testing.T) {
		r := newRig(t).run(t.Context(), "stubborn", func(c *Config) { c.StopTimeout = 30 * time.Millisecond })
		r.pid()
		r.signals <- syscall.SIGTERM
		var exit *ExitError
		if err := r.wait(); !errors.As(err, &exit) || !exit.Exit.Killed || exit.Exit.Signal != syscall.SIGKILL {
			t.Error(err)
		}
	})
	t.Run("during the backoff", func(t *testing.T) {
		r := newRig(t)
		r.run(t.Context(), "exit 9", func(c *Config) { c.Backoff = Backoff{First: time.Hour, Max: time.Hour, StableAfter: time.Hour} })
		// The first restart is immediate, the second is an hour away.
		for r.exitCount() < 2 {
			runtime.Gosched()
		}
		r.signals <- syscall.SIGTERM
		var exit *ExitError
		if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Code != 9 {
			t.Error(err)
		}
	})
	t.Run("hang-up without a handler", func(t *testing.T) {
		// Under nohup the child would inherit that the signal is ignored.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		defer signal.Reset(syscall.SIGHUP)
		r := newRig(t).run(t.Context(), "wait", nil)
		r.pid()
		r.signals <- syscall.SIGHUP
		var exit *ExitError
		if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Signal != syscall.SIGHUP {
			t.Error(err)
		}
	})
}

// TestHangUpUnderNohup: whoever starts the engine with hang-ups ignored wants neither it nor
// the server to end with the terminal.
func TestHangUpUnderNohup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	signals, unsubscribe := Subscribe()
	defer unsubscribe()
	r := newRig(t).run(t.Context(), "wait", nil)
	pid := r.pid()
	for _, target := range []int{pid, os.Getpid()} {
		if err := syscall.Kill(target, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := <-signals; got != syscall.SIGUSR1 {
		t.Errorf("%v is sent on", got)
	}
	r.signals <- syscall.SIGTERM
	var exit *ExitError
	if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Signal != syscall.SIGTERM {
		t.Errorf("the child did not outlive the hang-up: %v", err)
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	if has, _ := controllingTerminal(); has {
		t.Log("with a controlling terminal, Ctrl-C is left to it")
	}
	r := newRig(t).run(t.Context(), "report 0", nil)
	r.pid()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM} {
		r.signals <- sig
		if got := r.line(); got != strconv.Itoa(int(sig)) {
			t.Errorf("sent %d, the child got %s", int(sig), got)
		}
	}
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}
