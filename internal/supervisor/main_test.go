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
const (
	roleEnv  = "SUPERVISOR_TEST_ROLE"
	stateEnv = "SUPERVISOR_TEST_STATE" // path of a state file
	limitEnv = "SUPERVISOR_TEST_LIMIT"
)

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
	case "leave": // a process that has left the group, with the mark or without, and crash
		orphan := exec.Command(os.Args[0])
		orphan.Env = []string{roleEnv + "=" + arg}
		if arg == "wait" {
			orphan.Env = append(os.Environ(), orphan.Env...)
		} else {
			orphan.Env[0] = roleEnv + "=wait"
		}
		if arg == "children" {
			orphan.Env[0] = roleEnv + "=parent"
			orphan.Env = append(os.Environ(), orphan.Env...)
		}
		orphan.Stdout = os.Stdout
		orphan.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if orphan.Start() != nil {
			return 3
		}
		bufio.NewReader(os.Stdin).ReadString('\n')
		return 7
	case "parent": // of a process in a session of its own, without the mark
		p := exec.Command(os.Args[0])
		p.Env = []string{roleEnv + "=wait"}
		p.Stdout = os.Stdout
		p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if p.Start() != nil {
			return 3
		}
		select {}
	case "orphans": // that end on their own
		for range 3 {
			p := exec.Command("sh", "-c", "setsid sleep 0.05 &")
			if p.Run() != nil {
				return 3
			}
		}
		fmt.Println(os.Getpid())
		bufio.NewReader(os.Stdin).ReadString('\n')
	case "miniature":
		return runMiniature()
	case "server":
		return echoServer()
	case "foreground":
		return foreground()
	case "tree": // a worker in the group, one that has left it with the mark, one without; until killed
		for _, env := range [][]string{os.Environ(), os.Environ(), nil} {
			p := exec.Command(os.Args[0])
			p.Env = append(env, roleEnv+"=wait")
			p.Stdout = os.Stdout
			p.SysProcAttr = &syscall.SysProcAttr{Setsid: n > 0}
			if p.Start() != nil {
				return 3
			}
			n++
		}
		fmt.Println(os.Getpid())
		select {}
	case "survive", "engine": // a supervisor that the test kills
		cfg := configured(Config{Command: os.Args[:1]})
		if role == "engine" {
			arg = "wait"
		} else {
			cfg.Survive = &StateFile{Path: os.Getenv(stateEnv), Note: "the note"}
		}
		if os.Getenv(limitEnv) != "" {
			cfg.Limits = []Limit{{Resource: "nofile", Soft: 100, Hard: 100}}
		}
		os.Setenv(roleEnv, arg)
		s, err := New(cfg, nil)
		if err != nil {
			return 3
		}
		_ = s.Run(context.Background())
	}
	return 0
}
