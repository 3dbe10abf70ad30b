package daemon

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/testenv"
)

// The test binary is also the processes in the terminal: a session's leader, and
// what runs in its foreground.
const roleEnv = "DAEMON_TEST_ROLE"

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

func TestLeaveTerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		testenv.Missing(t, "no pseudo terminals here: "+err.Error())
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=shell")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	in := bufio.NewReader(master)
	expect := func(want string) {
		t.Helper()
		got, err := in.ReadString('\n')
		if err != nil || strings.TrimPrefix(strings.TrimSpace(got), "^C") != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	expect("open: open /dev/tty: no such device or address")
	fmt.Fprint(master, "\x03")
	expect("signal: interrupt")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
