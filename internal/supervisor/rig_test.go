package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
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

	before   func(*Supervisor) // Run
	starting func(attempt int) ([]string, error)
	onEnded  func(Exit) error
	onExited func(Exit)

	mu     sync.Mutex
	exits  []Exit
	calls  []string
	gaveUp error
}

// newRig makes a rig; run starts it.
func newRig(t *testing.T) *rig {
	return &rig{t: t, signals: make(chan os.Signal, 8), result: make(chan error, 1)}
}

// requireOwnGroup ends the test unless the child gets a process group of its own.
func requireOwnGroup(t *testing.T) {
	t.Helper()
	if has, _ := controllingTerminal(); has {
		testenv.Missing(t, "with a controlling terminal the child shares the test's process group")
	}
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
	cfg := configured(Config{
		Command: []string{os.Args[0]},
		Env:     append(os.Environ(), roleEnv+"="+role),
		Stdin:   inR, Stdout: outW, Signals: r.signals,
	})
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg, r)
	if err != nil {
		r.t.Fatal(err)
	}
	r.s, r.cfg = s, cfg
	if r.before != nil {
		r.before(s)
	}
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

// configured adds what a file says by default, see package recovery/config.
func configured(c Config) Config {
	c.StopTimeout, c.RestartLimit, c.RestartWindow = 10*time.Second, 25, 20*time.Second
	c.Backoff = Backoff{First: 10 * time.Millisecond, Max: 500 * time.Millisecond}
	return c
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

func (r *rig) Halted() { r.note("halted") }

func (r *rig) FellBack(error) { r.note("fell back") }

func (r *rig) GaveUp(err error) { r.note("gave up"); r.gaveUp = err }

// ends returns the ends so far.
func (r *rig) ends() []Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exits)
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
