package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/admin"
)

func TestCommands(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	r.check(admin.Restart, "a", []string{"a: restarted through recovery, 3 connections, T"}, []string{"restart a false"})
	r.refused(admin.Start, "a", admin.CodeState, "a: runs already")
	r.check(admin.Stop, "a", []string{"a: stopped, T"}, []string{"stop a"})
	r.expect("STATUS=1 of 2 services up; a is stopped")
	r.refused(admin.Stop, "a", admin.CodeState, "a: does not run")
	r.check(admin.Start, "a", []string{"a: started, T"}, []string{"start a"})
	r.expect("STATUS=2 services up")
	if _, err := r.do(admin.Stop, "a"); err != nil {
		t.Error(err)
	}
	r.check(admin.Restart, "a", []string{"a: started, T"}, []string{"start a"})
	r.refused(admin.Restart, "c", admin.CodeUnknown, `no service "c"; there are: a, b`)
	for end := time.Now().Add(10 * time.Second); !strings.Contains(r.out.String(), "b says hello") && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // it has to pass a pipe
	}
	r.check(admin.Logs, "b", []string{"b says hello"}, nil)
	h.refuse["b"] = errors.New("no")
	r.refused(admin.Restart, "b", admin.CodeFailed, "b: no")
}

// TestStopWhileEnding: a service that ends of itself when it is stopped can be
// started again all the same.
func TestStopWhileEnding(t *testing.T) {
	h := newFakeHost(t)
	h.fragile = true
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	if _, err := r.do(admin.Stop, "a"); err != nil {
		t.Fatal(err)
	}
	r.expect("STATUS=0 of 1 service up; a has ended")
	r.check(admin.Start, "a", []string{"a: started, T"}, []string{"add a", "remove a", "run a"})
}
