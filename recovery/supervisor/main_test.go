package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the child: this variable says what it does then.
const roleEnv = "SUPERVISOR_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

// child plays one role; its standard output tells the test what has happened.
func child(role string) int {
	role, arg, _ := strings.Cut(role, " ")
	n, _ := strconv.Atoi(arg)
	switch role {
	case "exit":
		return n
	case "raise":
		_ = syscall.Kill(os.Getpid(), syscall.Signal(n))
		select {}
	case "print": // an environment variable
		fmt.Println(os.Getenv(arg))
	case "whoami":
		groups, _ := syscall.Getgroups()
		fmt.Println(os.Getuid(), os.Getgid(), groups, os.Getenv("USER"))
	case "pwd":
		wd, _ := os.Getwd()
		fmt.Println(wd)
	case "wait": // until killed
		fmt.Println(os.Getpid())
		select {}
	case "cat":
		fmt.Println(os.Getpid())
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println(in.Text())
		}
	case "report": // the signals that come; TERM ends it with status n
		c := make(chan os.Signal, 8)
		signal.Notify(c)
		fmt.Println(os.Getpid())
		for sig := range c {
			if sig == syscall.SIGURG { // the Go runtime's own
				continue
			}
			fmt.Println(int(sig.(syscall.Signal)))
			if sig == syscall.SIGTERM {
				return n
			}
		}
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println(os.Getpid())
		select {}
	case "fork": // a worker that holds stdout open, then crash
		worker := exec.Command(os.Args[0])
		worker.Env = append(os.Environ(), roleEnv+"=wait")
		worker.Stdout = os.Stdout
		if worker.Start() != nil {
			return 3
		}
		fmt.Println("forked")
		bufio.NewReader(os.Stdin).ReadString('\n')
		return n
	case "foreground":
		return foreground()
	case "engine": // a supervisor that the test kills
		os.Setenv(roleEnv, "wait")
		s, err := New(Config{Command: os.Args[:1]}, nil)
		if err != nil {
			return 3
		}
		_ = s.Run(context.Background())
	}
	return 0
}
