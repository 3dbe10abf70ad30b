package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
)

// TestWorkersDie: what a crashed process has forked must not keep its port.
func TestWorkersDie(t *testing.T) {
	requireOwnGroup(t)
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
