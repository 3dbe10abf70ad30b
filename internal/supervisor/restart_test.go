package supervisor

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRestartAfterKill is the main job: kill -9, start again, at once.
func TestRestartAfterKill(t *testing.T) {
	r := newRig(t).run(t.Context(), "wait", nil)
	const kills = 5
	last := 0
	for range kills {
		pid := r.pid()
		if pid == last {
			t.Fatal("the same process")
		}
		last = pid
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	r.pid()
	r.signals <- syscall.SIGTERM
	var exit *ExitError
	if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Status() != 128+15 {
		t.Errorf("Run returned %v", err)
	}
	for i, e := range r.exits[:kills] {
		if e.Kind != Crashed || e.Signal != syscall.SIGKILL || e.Attempt != i+1 || e.Status() != 137 {
			t.Errorf("exit %d: %+v", i, e)
		}
	}
	want := "starting 1,started,exited crashed 137,starting 2,started"
	if got := strings.Join(r.calls, ","); !strings.HasPrefix(got, want) {
		t.Errorf("hooks %s", got)
	}
	want = "starting 6,started,stopping,exited stopped 143"
	if got := strings.Join(r.calls, ","); !strings.HasSuffix(got, want) {
		t.Errorf("hooks %s", got)
	}
}

// TestPoison is a command that crashes at once, every time.
func TestPoison(t *testing.T) {
	for _, tt := range []struct {
		role   string
		status int
		says   string
	}{
		{"exit 3", 3, "exit status 3"},
		{"raise 15", 143, "terminated"},
	} {
		t.Run(tt.role, func(t *testing.T) {
			r := newRig(t)
			r.run(t.Context(), tt.role, func(c *Config) {
				c.RestartLimit = 4
				c.RestartWindow = time.Minute
				c.Backoff = Backoff{First: time.Millisecond, Max: 2 * time.Millisecond, StableAfter: time.Minute}
			})
			err := r.wait()
			var gaveUp *GaveUpError
			if !errors.As(err, &gaveUp) {
				t.Fatalf("Run returned %v", err)
			}
			if gaveUp.Crashes != 5 || gaveUp.Limit != 4 || gaveUp.Window != time.Minute || gaveUp.Exit.Status() != tt.status {
				t.Errorf("%+v", gaveUp)
			}
			if !strings.Contains(err.Error(), "5 crashes") || !strings.Contains(err.Error(), "4 restarts in 1m0s") ||
				!strings.Contains(err.Error(), tt.says) {
				t.Error(err)
			}
			if r.gaveUp != err || len(r.exits) != 5 {
				t.Errorf("GaveUp got %v after %d exits", r.gaveUp, len(r.exits))
			}
		})
	}
}

func TestStartingFails(t *testing.T) {
	r := newRig(t)
	boom := errors.New("boom")
	r.starting = func(n int) ([]string, error) {
		if n == 2 {
			return nil, boom
		}
		return nil, nil
	}
	r.run(t.Context(), "exit 1", nil)
	if err := r.wait(); !errors.Is(err, boom) {
		t.Error(err)
	}
}
