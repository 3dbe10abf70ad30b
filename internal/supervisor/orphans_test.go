package supervisor

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/procfs"
)

func adoptAll(t *testing.T) {
	t.Helper()
	release, err := Adopt()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
}

// TestOrphansDie: with its session a process leaves the group, but not its
// origin. What is left is dead before the next start.
func TestOrphansDie(t *testing.T) {
	for _, tt := range []struct {
		name, role string
		belongs    bool
		lines      int // printed by processes that hold the pipe
	}{
		{"marked", "leave wait", false, 1},
		{"by what it holds", "leave unmarked", true, 1},
		{"by descent", "leave children", false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			adoptAll(t)
			r := newRig(t)
			var pids []int
			r.onExited = func(Exit) {
				for _, pid := range pids {
					if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
						t.Errorf("process %d is not gone: %v", pid, err)
					}
				}
			}
			r.run(t.Context(), tt.role, func(c *Config) {
				c.RestartLimit = 0
				if tt.belongs {
					c.Belongs = func(pid int) bool { return slices.Contains(pids, pid) }
				}
			})
			for range tt.lines {
				pids = append(pids, r.pid())
			}
			fmt.Fprintln(r.in) // crash
			r.wait()
			if rest, err := io.ReadAll(r.out); err != nil || len(rest) != 0 {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

// TestOrphansOfOthers: what cannot be told to be the child's is left alone.
func TestOrphansOfOthers(t *testing.T) {
	adoptAll(t)
	r := newRig(t).run(t.Context(), "leave unmarked", func(c *Config) { c.RestartLimit = 0 })
	orphan := r.pid()
	fmt.Fprintln(r.in)
	r.wait()
	if err := syscall.Kill(orphan, 0); err != nil {
		t.Errorf("process %d is gone: %v", orphan, err)
	}
	if err := syscall.Kill(orphan, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitChildren(t) // it is reaped
}

// TestOrphansReaped: orphans that end on their own do not stay as zombies.
func TestOrphansReaped(t *testing.T) {
	testenv.RequireTool(t, "setsid")
	adoptAll(t)
	r := newRig(t).run(t.Context(), "orphans", nil)
	waitChildren(t, r.pid())
	fmt.Fprintln(r.in)
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

// waitChildren waits until this process has exactly these children.
func waitChildren(t *testing.T, want ...int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		got := procfs.Children(os.Getpid())
		if slices.Equal(got, want) {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("children %v, want %v", got, want)
		}
	}
}

// TestExec: commands run beside adoption, and their status is not lost.
func TestExec(t *testing.T) {
	adoptAll(t)
	for range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"=exit 5")
		if err := Exec(cmd); err == nil || cmd.ProcessState.ExitCode() != 5 {
			t.Fatalf("error %v, state %v", err, cmd.ProcessState)
		}
	}
	if err := Exec(exec.Command("/ftnet/none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("error %v", err)
	}
}

// TestGroupIsGone: under adoption the group's workers have ended, too, when
// Exited is called: nothing holds the port.
func TestGroupIsGone(t *testing.T) {
	requireOwnGroup(t)
	adoptAll(t)
	r := newRig(t)
	r.onExited = func(e Exit) {
		if err := syscall.Kill(-e.PID, 0); err != syscall.ESRCH {
			t.Errorf("the group %d lives: %v", e.PID, err)
		}
	}
	r.run(t.Context(), "fork 1", func(c *Config) { c.RestartLimit = 0 })
	r.line()
	r.line()
	fmt.Fprintln(r.in)
	r.wait()
}
