package recovery

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/runtimedir"
)

// TestForeignPort: a server that asks for a port of another engine, and gives up, is
// not started again: it would be told the same.
func TestForeignPort(t *testing.T) {
	l := newLab(t, nil)
	foreign, err := runtimedir.Ports{}.Claim(t.Context(), ownership.Service{Port: 7961})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Release()
	if err := l.run(server("foreign", "listen :7961")).ends(); !errors.Is(err, runtimedir.ErrPortTaken) || !strings.Contains(err.Error(), "7961") {
		t.Errorf("it ended like this: %v", err)
	}
	if n := strings.Count(l.log.String(), "the process runs"); n != 1 {
		t.Errorf("it was started %d times", n)
	}
	// One that goes on, and listens elsewhere, is like any other.
	r := l.run(server("other", "listen :7961 :7962"))
	if err := r.ends(); !errors.Is(err, runtimedir.ErrPortTaken) {
		t.Errorf("it ended like this: %v", err)
	}
	r = l.run(server("stubborn", "listen-any :7961 :7962"))
	r.serves()
	c := l.dial("127.0.0.1:7962")
	c.expect("3", "add 3")
	before, _ := l.program("stubborn")
	if err := syscall.Kill(before.Process.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.expect("3", "add 0")
}
