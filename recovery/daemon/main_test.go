package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the processes in the terminal: a session's leader, and
// what runs in its foreground.
const roleEnv = "DAEMON_TEST_ROLE"

func TestMain(m *testing.M) {
	if name := os.Getenv(roleEnv); name != "" {
		os.Exit(role(name))
	}
	goleak.VerifyTestMain(m)
}

func role(name string) int {
	switch name {
	case "shell": // passes its own group's signals by
		signal.Ignore(syscall.SIGINT)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"=daemon")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return 1
		}
	case "daemon":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGINT)
		leaveTerminal()
		_, err := os.Open("/dev/tty")
		fmt.Println("open:", err)
		fmt.Println("signal:", <-signals)
	}
	return 0
}
