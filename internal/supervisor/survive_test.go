package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/procfs"
)

// orphaned is a process whose supervisor was killed.
type orphaned struct {
	t     *testing.T
	path  string // of the record
	state State
	in    *os.File
	out   *bufio.Reader
	pids  []int // what it has printed, itself last
}

// survive runs a process under a supervisor that is then killed. The process
// prints so many numbers, its own last.
func survive(t *testing.T, role string, prints int, env ...string) *orphaned {
	t.Helper()
	requireOwnGroup(t)
	o := &orphaned{t: t, path: filepath.Join(t.TempDir(), "state")}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	engine := exec.Command(os.Args[0])
	engine.Env = append(append(os.Environ(), roleEnv+"=survive "+role, stateEnv+"="+o.path), env...)
	engine.Stdin, engine.Stdout = inR, outW
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	o.in, o.out = inW, bufio.NewReader(outR)
	for range prints {
		o.pids = append(o.pids, o.pid())
	}
	for began := time.Now(); o.state.PID == 0 && time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
		if o.state, err = ReadState(o.path, nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if v, err := Find(o.state); err == nil {
			v.kill()
			v.bury()
		}
		Clear(o.state)
		inW.Close()
		outR.Close()
	})
	if err := engine.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	engine.Wait()
	return o
}

func (o *orphaned) pid() int {
	o.t.Helper()
	s, err := o.out.ReadString('\n')
	pid, err2 := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || err2 != nil {
		o.t.Fatalf("the process says %q, %v", s, err)
	}
	return pid
}

func (o *orphaned) find() *Survivor {
	o.t.Helper()
	v, err := Find(o.state)
	if err != nil {
		o.t.Fatal(err)
	}
	return v
}

// takeOver runs a supervisor that begins with the process.
func (o *orphaned) takeOver(role string, edit func(*Config)) *rig {
	o.t.Helper()
	r := newRig(o.t)
	r.before = func(s *Supervisor) { s.TakeOver(o.find()) }
	return r.run(o.t.Context(), role, func(c *Config) {
		c.Survive = &StateFile{Path: o.path}
		if edit != nil {
			edit(c)
		}
	})
}

func gone(pid int) bool {
	st, err := procfs.ReadStat(pid)
	return err != nil || st.Zombie
}

func awaitGone(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		for began := time.Now(); !gone(pid); time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("process %d lives", pid)
			}
		}
	}
}

// TestSurvive: signals reach a process that was taken over, and its supervisor
// learns how it ended.
func TestSurvive(t *testing.T) {
	o := survive(t, "report 7", 1)
	var note string
	if s, err := ReadState(o.path, &note); err != nil || s != o.state || note != "the note" || s.PID != o.pids[0] {
		t.Errorf("state %+v, %q, %v", s, note, err)
	}
	r := o.takeOver("wait", nil)
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTERM} {
		r.signals <- sig
		if got := o.pid(); got != int(sig) {
			t.Errorf("the process got signal %d, want %d", got, sig)
		}
	}
	var exit *ExitError
	if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Kind != Stopped || exit.Exit.Code != 7 && !exit.Exit.Unknown {
		t.Errorf("Run: %v", err)
	}
	if got, want := fmt.Sprint(r.calls), "[started stopping exited stopped 7]"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if _, err := os.Stat(o.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the record is left: %v", err)
	}
	if _, err := Find(o.state); !errors.Is(err, ErrGone) {
		t.Errorf("finding it again: %v", err)
	}
}

// TestSurvivorCrashes: what follows a process that was taken over is a child
// again, which is recorded in its turn.
func TestSurvivorCrashes(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"crash": syscall.SIGKILL, "restart": 0, "another": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			o := survive(t, "wait", 1)
			r := o.takeOver("wait", nil)
			if sig != 0 {
				if err := syscall.Kill(o.pids[0], sig); err != nil {
					t.Fatal(err)
				}
			} else if err := r.running().Restart(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			pid := r.pid()
			exits := r.ends()
			if len(exits) != 1 || exits[0].PID != o.pids[0] || !exits[0].Again || exits[0].Ran <= 0 {
				t.Fatalf("exits %+v", exits)
			}
			want := syscall.SIGKILL
			if sig != 0 {
				want = sig
			}
			if e := exits[0]; e.Signal != want && !e.Unknown || (e.Kind == Planned) != (sig == 0) {
				t.Errorf("exit %+v, want signal %v", e, want)
			}
			for began := time.Now(); ; time.Sleep(time.Millisecond) {
				s, err := ReadState(o.path, nil)
				if err == nil && s.PID == pid && s.Mark == o.state.Mark {
					break
				}
				if time.Since(began) > 10*time.Second {
					t.Fatalf("the record names %+v, %v, want process %d", s, err, pid)
				}
			}
		})
	}
}

// running returns the supervisor once Run has begun.
func (r *rig) running() *Supervisor {
	<-r.s.running
	return r.s
}

// TestSurvivorsTree: nothing of a process that was taken over outlives it,
// whatever it has left by, group, environment or parent.
func TestSurvivorsTree(t *testing.T) {
	for _, how := range []string{"crash", "restart", "stop", "clear"} {
		t.Run(how, func(t *testing.T) {
			o := survive(t, "tree", 4)
			if how == "clear" { // it ends while nobody watches
				unmarked := 0
				for _, pid := range o.pids {
					if st, err := procfs.ReadStat(pid); err == nil && !procfs.HasEnv(pid, o.state.env()) && st.Group == pid {
						unmarked = pid
					}
				}
				syscall.Kill(o.state.PID, syscall.SIGKILL)
				awaitGone(t, o.state.PID)
				if _, err := Find(o.state); !errors.Is(err, ErrGone) {
					t.Errorf("find: %v", err)
				}
				if n, err := Clear(o.state); n != 2 || err != nil {
					t.Errorf("cleared %d, %v", n, err)
				}
				if gone(unmarked) {
					t.Error("a process that cannot be told to be its own was killed")
				}
				syscall.Kill(unmarked, syscall.SIGKILL)
				awaitGone(t, o.pids...)
				return
			}
			r := newRig(t)
			var left atomic.Int32
			r.onExited = func(e Exit) {
				for _, pid := range o.pids {
					if e.PID == o.state.PID && !gone(pid) {
						left.Add(1)
					}
				}
			}
			r.before = func(s *Supervisor) { s.TakeOver(o.find()) }
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r.run(ctx, "wait", nil)
			switch how {
			case "crash":
				syscall.Kill(o.state.PID, syscall.SIGKILL)
				r.pid()
			case "restart":
				if err := r.running().Restart(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			case "stop":
				if err := r.running().Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := left.Load(); n > 0 {
				t.Errorf("%d of its processes live", n)
			}
			cancel()
			r.wait()
		})
	}
}

// TestSurvivorDoesNotStop: it is killed after the time-out.
func TestSurvivorDoesNotStop(t *testing.T) {
	o := survive(t, "stubborn", 1)
	r := o.takeOver("wait", func(c *Config) { c.StopTimeout = 20 * time.Millisecond })
	r.signals <- syscall.SIGTERM
	var exit *ExitError
	if err := r.wait(); !errors.As(err, &exit) || !exit.Exit.Killed || exit.Exit.Signal != syscall.SIGKILL && !exit.Exit.Unknown {
		t.Errorf("Run: %v", err)
	}
}

// TestFindOthers: a number that is another process's now leads nowhere.
func TestFindOthers(t *testing.T) {
	o := survive(t, "wait", 1)
	for name, edit := range map[string]func(*State){
		"later":     func(s *State) { s.Start += "0" },
		"boot":      func(s *State) { s.Boot = "another" },
		"namespace": func(s *State) { s.Space = "pid:[1]" },
		"number":    func(s *State) { s.PID = 1 << 30 },
		"itself":    func(s *State) { s.PID = os.Getpid() },
		"no mark":   func(s *State) { s.PID, s.Mark = 0, "NOBODYS" },
	} {
		s := o.state
		edit(&s)
		if _, err := Find(s); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "boot" {
			if n, err := Clear(s); n != 0 || err != nil {
				t.Errorf("cleared %d of another boot, %v", n, err)
			}
		}
	}
	if gone(o.pids[0]) {
		t.Error("the process has ended")
	}
}

// TestFindByMark: a process whose start was recorded and no more.
func TestFindByMark(t *testing.T) {
	o := survive(t, "tree", 4)
	s := o.state
	s.PID, s.Start = 0, ""
	v, err := Find(s)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if got := v.State(); got.PID != o.state.PID || got.Start != o.state.Start {
		t.Errorf("found %+v, want %+v", got, o.state)
	}
}

// inherit makes this process the parent of one whose supervisor was killed, so
// that the test decides when it is reaped.
func inherit(t *testing.T, role string) *orphaned {
	t.Helper()
	set := func(to uintptr) {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, to, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	set(1)
	defer set(0)
	return survive(t, role, 1)
}

func (o *orphaned) reap() {
	o.t.Helper()
	var ws unix.WaitStatus
	if _, err := unix.Wait4(o.state.PID, &ws, 0, nil); err != nil {
		o.t.Error(err)
	}
}

// TestUnreaped: how a process ended is known although nobody has reaped it.
func TestUnreaped(t *testing.T) {
	testenv.RequireRoot(t)
	o := inherit(t, "report 9")
	v := o.find()
	if err := v.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := v.await(); e.Code != 9 || e.Kind != Crashed || e.Unknown {
		t.Errorf("exit %+v", e)
	}
	o.reap()
	v.Release()
}

// TestReaped: the descriptor of a process that is gone tells how it ended, where
// the kernel can, and signals nobody.
func TestReaped(t *testing.T) {
	o := inherit(t, "wait")
	v := o.find()
	syscall.Kill(o.state.PID, syscall.SIGKILL)
	o.reap()
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	can := unix.IoctlPidfdInfo(v.fd, &info) == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0
	if e := v.await(); e.Unknown == can || can && e.Signal != syscall.SIGKILL {
		t.Errorf("exit %+v; the kernel can tell: %v", e, can)
	}
	if err := v.signal(0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal: %v", err)
	}
	v.kill()
	if err := v.bury(); err != nil {
		t.Error(err)
	}
}

// failing is a recorder that fails from a call on.
type failing struct {
	after int
	calls []State
}

func (f *failing) Record(s State) error {
	f.calls = append(f.calls, s)
	if len(f.calls) > f.after {
		return errors.New("no room")
	}
	return nil
}
func (f *failing) Forget() error { return nil }

// TestRecordFails: a process that cannot be recorded dies with its supervisor;
// one that is recorded by its mark alone need not.
func TestRecordFails(t *testing.T) {
	requireOwnGroup(t)
	for after, deadly := range []bool{true, false, false} {
		f := &failing{after: after}
		newRig(t).run(t.Context(), "exit 0", func(c *Config) { c.Survive = f }).wait()
		want := 2
		if deadly {
			want = 1
		}
		if len(f.calls) != want || f.calls[0].PID != 0 || f.calls[0].Mark == "" {
			t.Errorf("recorded %+v", f.calls)
		}
	}
}

// TestSurviveWithLimits: limits are set as ever.
func TestSurviveWithLimits(t *testing.T) {
	o := survive(t, "wait", 1, limitEnv+"=1")
	var limit unix.Rlimit
	if err := unix.Prlimit(o.state.PID, unix.RLIMIT_NOFILE, nil, &limit); err != nil || limit.Max != 100 {
		t.Errorf("limit %+v, %v", limit, err)
	}
	if plain, limited := (&Config{Command: []string{"a"}}).Digest(), (&Config{Command: []string{"a"}, Limits: []Limit{{}}}).Digest(); plain == limited {
		t.Error("another configuration has the same digest")
	}
}
