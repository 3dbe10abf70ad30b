package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/testenv"
)

// rig runs one supervisor over the test binary.
type rig struct {
	NoHooks
	t       *testing.T
	out     *bufio.Reader // what the children print
	in      *os.File      // their stdin
	signals chan os.Signal
	result  chan error

	s   *Supervisor
	cfg Config

	starting func(attempt int) ([]string, error)
	onEnded  func(Exit) error
	onExited func(Exit)

	mu     sync.Mutex
	exits  []Exit
	calls  []string
	gaveUp error
}

func (r *rig) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

func (r *rig) Starting(attempt int) ([]string, error) {
	r.note("starting %d", attempt)
	if r.starting != nil {
		return r.starting(attempt)
	}
	return nil, nil
}

func (r *rig) Started(int) { r.note("started") }

func (r *rig) Stopping() { r.note("stopping") }

func (r *rig) Ended(e Exit) error {
	if r.onEnded != nil {
		return r.onEnded(e)
	}
	return nil
}

func (r *rig) Exited(e Exit) {
	r.note("exited %v %d", e.Kind, e.Status())
	r.mu.Lock()
	r.exits = append(r.exits, e)
	r.mu.Unlock()
	if r.onExited != nil {
		r.onExited(e)
	}
}

// ends returns the ends so far.
func (r *rig) ends() []Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exits)
}

func (r *rig) Halted() { r.note("halted") }

func (r *rig) GaveUp(err error) { r.note("gave up"); r.gaveUp = err }

// newRig makes a rig; run starts it.
func newRig(t *testing.T) *rig {
	return &rig{t: t, signals: make(chan os.Signal, 8), result: make(chan error, 1)}
}

func (r *rig) run(ctx context.Context, role string, edit func(*Config)) *rig {
	r.t.Helper()
	outR, outW, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	r.out, r.in = bufio.NewReader(outR), inW
	cfg := Config{
		Command: []string{os.Args[0]},
		Env:     append(os.Environ(), roleEnv+"="+role),
		Stdin:   inR, Stdout: outW, Signals: r.signals,
	}
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg, r)
	if err != nil {
		r.t.Fatal(err)
	}
	r.s, r.cfg = s, cfg
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		err := s.Run(ctx)
		outW.Close()
		inR.Close()
		r.result <- err
		close(r.result)
	}()
	r.t.Cleanup(func() {
		cancel()
		inW.Close()
		for range r.result {
		}
		outR.Close()
	})
	return r
}

func (r *rig) line() string {
	r.t.Helper()
	s, err := r.out.ReadString('\n')
	if err != nil {
		r.t.Fatalf("reading what the child prints: %v", err)
	}
	return strings.TrimSpace(s)
}

func (r *rig) pid() int {
	r.t.Helper()
	pid, err := strconv.Atoi(r.line())
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

func (r *rig) wait() error {
	r.t.Helper()
	select {
	case err := <-r.result:
		return err
	case <-time.After(30 * time.Second):
		r.t.Fatal("the supervisor does not return")
		return nil
	}
}

func TestCleanExit(t *testing.T) {
	r := newRig(t).run(t.Context(), "exit 0", nil)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	want := "starting 1,started,exited clean 0"
	if got := strings.Join(r.calls, ","); got != want {
		t.Errorf("hooks %s, want %s", got, want)
	}
}

func TestPassThrough(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("environment of Starting", func(t *testing.T) {
		r := newRig(t)
		r.starting = func(int) ([]string, error) { return []string{"FTNET_X=from hook"}, nil }
		r.run(t.Context(), "print FTNET_X", nil)
		if got := r.line(); got != "from hook" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("directory", func(t *testing.T) {
		r := newRig(t).run(t.Context(), "pwd", func(c *Config) { c.Dir = dir })
		if got := r.line(); got != dir {
			t.Errorf("got %q, want %q", got, dir)
		}
	})
	t.Run("stdin", func(t *testing.T) {
		r := newRig(t).run(t.Context(), "cat", nil)
		r.pid()
		fmt.Fprintln(r.in, "hello")
		if got := r.line(); got != "hello" {
			t.Errorf("got %q", got)
		}
		r.in.Close()
		if err := r.wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestUser(t *testing.T) {
	testenv.RequireRoot(t)
	// The child must be able to reach the test binary.
	for _, tt := range []struct{ user, want string }{
		{"nobody", "65534 65534 [65534] nobody"},
		{"4711:4712", "4711 4712 []"},
		{"65534:4712", "65534 4712 [] nobody"},
		{"nobody:0", "65534 0 [] nobody"},
	} {
		t.Run(tt.user, func(t *testing.T) {
			exe := filepath.Join(publicDir(t), "child")
			copyFile(t, exe, os.Args[0])
			r := newRig(t)
			r.run(t.Context(), "whoami", func(c *Config) {
				c.Command = []string{exe}
				c.User = tt.user
				c.Env = []string{roleEnv + "=whoami"}
			})
			if got := r.line(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func publicDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "supervisor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, to, from string) {
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want error  // errors.Is
		says string // in the message
	}{
		{"no such command", Config{Command: []string{"ftnet-no-such-command"}}, exec.ErrNotFound, "ftnet-no-such-command"},
		{"no such file", Config{Command: []string{dir + "/none"}}, fs.ErrNotExist, "none"},
		{"not executable", Config{Command: []string{plain}}, fs.ErrPermission, "plain"},
		{"a directory", Config{Command: []string{dir}}, nil, "directory"},
		{"not a program", Config{Command: []string{text}}, syscall.ENOEXEC, "exec format"},
		{"no such user", Config{Command: []string{"true"}, User: "ftnet-nobody"}, nil, `unknown user ftnet-nobody`},
		{"number without group", Config{Command: []string{"true"}, User: "4711"}, nil, "give 4711:GID"},
		{"no such group", Config{Command: []string{"true"}, User: "0:ftnet-nogroup"}, nil, "ftnet-nogroup"},
		{"empty group", Config{Command: []string{"true"}, User: "0:"}, nil, "uid:gid"},
		{"no such directory", Config{Command: []string{"true"}, Dir: dir + "/none"}, fs.ErrNotExist, "none"},
		{"file as directory", Config{Command: []string{"true"}, Dir: plain}, syscall.ENOTDIR, "plain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.cfg.Signals = r.signals
			s, err := New(tt.cfg, r)
			if err == nil {
				err = s.Run(t.Context())
				if r.gaveUp != err {
					t.Errorf("GaveUp got %v, Run %v", r.gaveUp, err)
				}
			}
			var start *StartError
			if !errors.As(err, &start) || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v", err)
			}
			if len(r.calls) > 2 {
				t.Errorf("tried again: %v", r.calls)
			}
		})
	}
}

func TestNoCommand(t *testing.T) {
	if _, err := New(Config{}, nil); err == nil {
		t.Error("no error")
	}
}

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
		r := newRig(t).run(t.Context(), "wait", nil)
		r.pid()
		r.signals <- syscall.SIGHUP
		var exit *ExitError
		if err := r.wait(); !errors.As(err, &exit) || exit.Exit.Signal != syscall.SIGHUP {
			t.Error(err)
		}
	})
}

func (r *rig) exitCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.calls {
		if strings.HasPrefix(c, "exited") {
			n++
		}
	}
	return n
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

// TestWorkersDie: what a crashed process has forked must not keep its port.
func TestWorkersDie(t *testing.T) {
	if has, _ := controllingTerminal(); has {
		t.Skip("with a controlling terminal the child shares the test's process group")
	}
	r := newRig(t).run(t.Context(), "fork 0", nil)
	r.line()
	r.line()
	fmt.Fprintln(r.in)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	// The worker held the pipe's last write end.
	if rest, err := io.ReadAll(r.out); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestParentDeath: the child dies with a supervisor that is killed.
func TestParentDeath(t *testing.T) {
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	engine := exec.Command(os.Args[0])
	engine.Env = append(os.Environ(), roleEnv+"=engine")
	engine.Stdout = w
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	in := bufio.NewReader(out)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	engine.Process.Kill()
	engine.Wait()
	if _, err := in.ReadByte(); err != io.EOF { // the child's stdout is closed
		t.Error(err)
	}
}

// TestThreadsEnd: the end of other OS threads must not kill the child.
func TestThreadsEnd(t *testing.T) {
	r := newRig(t).run(t.Context(), "cat", nil)
	pid := r.pid()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { runtime.LockOSThread() }) // never unlocked: ends its thread
	}
	wg.Wait()
	fmt.Fprintln(r.in, "alive")
	if got := r.line(); got != "alive" {
		t.Errorf("got %q", got)
	}
	if r.exitCount() != 0 {
		t.Errorf("the child %d has ended: %v", pid, r.exits)
	}
}

// TestReapsOnlyItsChild: another child of the same program is left alone.
func TestReapsOnlyItsChild(t *testing.T) {
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), roleEnv+"=exit 5")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if err := newRig(t).run(t.Context(), "exit 0", nil).wait(); err != nil {
		t.Fatal(err)
	}
	var status *exec.ExitError
	if err := other.Wait(); !errors.As(err, &status) || status.ExitCode() != 5 {
		t.Error(err)
	}
}
