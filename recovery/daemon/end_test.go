package daemon

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/recovery/config"
)

func TestReadyAndEnd(t *testing.T) {
	h := newFakeHost(t)
	h.slow = true
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("STATUS=0 of 2 services up; a is starting; b is starting")
	h.service("a").change(func() { h.service("a").listens = true })
	r.expect("STATUS=1 of 2 services up; b is starting")
	h.service("b").change(func() { h.service("b").listens = true })
	r.expect("READY=1\nSTATUS=2 services up")
	r.signals <- syscall.SIGTERM
	r.expect("STOPPING=1")
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if !h.closed {
		t.Error("the host was not closed")
	}
	// What was written until the end has been passed on.
	for _, want := range []string{"a | a says hello\n", "b | b says hello\n"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("no %q in\n%s", want, r.out.String())
		}
	}
}

// TestOneEnds: the others go on, the daemon is ready, and its end tells.
func TestOneEnds(t *testing.T) {
	h := newFakeHost(t)
	h.refuse["bad"] = errors.New("cannot be started")
	r := start(t, h, entry("bad", "7001"), entry("good", "7002"), entry("weak", "7003"))
	r.expect("READY=1\nSTATUS=2 of 3 services up; bad has ended: cannot be started")
	h.service("weak").die <- errors.New("gave up")
	r.expect("STATUS=1 of 3 services up; bad has ended: cannot be started; weak has ended: gave up")

	r.refused(admin.Start, "bad", admin.CodeFailed, "bad: cannot be started")
	r.check(admin.Start, "weak", []string{"weak: started, T"}, []string{"add weak", "remove weak", "run weak"})
	h.service("weak").die <- nil
	r.expect("STATUS=1 of 3 services up; bad has ended: cannot be started; weak has ended")
	r.signals <- syscall.SIGINT
	var failed *FailedError
	if err := r.wait(); !errors.As(err, &failed) || len(failed.Services) != 1 || failed.Services["bad"] == nil {
		t.Error(err)
	}
}

// TestEndsLast: a service that is given up while the daemon is about to end is
// told of, too.
func TestEndsLast(t *testing.T) {
	h := newFakeHost(t)
	h.linger = true
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	h.service("a").die <- errors.New("gave up")
	for len(h.service("a").die) > 0 { // it has been taken
		runtime.Gosched()
	}
	r.end()
	var failed *FailedError
	if err := r.wait(); !errors.As(err, &failed) || len(failed.Services) != 1 || failed.Services["a"] == nil {
		t.Error(err)
	}
}

// TestEndWhileStarting: a service that never listens does not hold the end up,
// and who waits for it is told.
func TestEndWhileStarting(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	h.mu.Lock()
	h.slow = true
	h.mu.Unlock()
	h.service("a").die <- errors.New("gave up")
	r.expect("STATUS=0 of 1 service up; a has ended: gave up")
	refused := make(chan error)
	go func() {
		_, err := r.do(admin.Start, "a")
		refused <- err
	}()
	r.expect("STATUS=0 of 1 service up; a is starting")
	r.end()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if err := <-refused; err == nil || !strings.Contains(err.Error(), "a: started, but") {
		t.Error(err)
	}
}

// TestEndWhileLogIsAwaited: a signal ends the first start of services that waits for
// the log. None has failed then, and the service manager is not told that all is ready.
func TestEndWhileLogIsAwaited(t *testing.T) {
	h := newFakeHost(t)
	h.waiting = make(chan struct{}, 2)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	<-h.waiting
	r.signals <- syscall.SIGTERM
	r.expect("STOPPING=1")
	if err := r.wait(); err != nil || h.told || !h.closed {
		t.Error(err, h.told, h.closed)
	}
}

// TestStopGoesOn: a stop that takes longer than who asked for it waits takes effect all the
// same, and the service can be started again.
func TestStopGoesOn(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u, err := r.d.unit("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.stop(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	h.service("a").change(func() { h.service("a").halted = true })
	r.expect("STATUS=0 of 1 service up; a is stopped")
	r.check(admin.Start, "a", []string{"a: started, T"}, []string{"start a"})
}

// TestStuckOutput: what cannot be written does not hold the end up.
func TestStuckOutput(t *testing.T) {
	h := newFakeHost(t)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	u, err := newUnit(h, h.add, config.Service{Name: "a"}, pw, func() {})
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 1000)
	line[999] = '\n'
	for range 1000 { // more than the pipe holds
		if _, err := u.capture.Stdout.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.remove(); err != nil {
		t.Error(err)
	}
	select {
	case <-u.passed:
		t.Error("all has been written?")
	default:
	}
}
