package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// TestTerminal: in the foreground of a terminal, Ctrl-C reaches the child once,
// not twice, and means a stop; what only the supervisor gets is sent on.
func TestTerminal(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=foreground")
	master := testenv.StartInTerminal(t, cmd)
	in := bufio.NewReader(master)
	line := func() string {
		t.Helper()
		s, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(strings.TrimPrefix(s, "^C"))
	}
	line() // the child's process id
	fmt.Fprint(master, "\x03")
	// The supervisor says that it has seen the signal, too; either may be first.
	if a, b := line(), line(); !(a == "2" && b == "stopping" || a == "stopping" && b == "2") {
		t.Errorf("after Ctrl-C: %q, %q", a, b)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if got := line(); got != "15" { // and no second 2 before it
		t.Errorf("after SIGTERM the child got %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// foreground is the supervisor of TestTerminal.
func foreground() int {
	os.Setenv(roleEnv, "report 0")
	s, err := New(configured(Config{Command: os.Args[:1]}), tellStopping{})
	if err == nil {
		err = s.Run(context.Background())
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit.Exit.Status()
	} else if err != nil {
		return 99
	}
	return 0
}

// tellStopping prints that the child is about to be asked to stop.
type tellStopping struct{ NoHooks }

func (tellStopping) Stopping() { fmt.Println("stopping") }
