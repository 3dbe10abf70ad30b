package recovery

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
)

// The test binary is started in three ways: by go test, by itself in a network
// namespace where the engine under test may do what it likes, and as a server
// that the engine supervises.
const (
	insideEnv = "RECOVERY_TEST_INSIDE"
	roleEnv   = "RECOVERY_TEST_ROLE"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(roleEnv) != "":
		os.Exit(role(strings.Fields(os.Getenv(roleEnv))))
	case os.Getenv(insideEnv) == "" && os.Geteuid() == 0:
		os.Exit(inside())
	}
	goleak.VerifyTestMain(m)
}

// inside runs the tests in a network namespace that ends with them.
func inside() int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

func init() {
	if os.Getenv(insideEnv) == "" || os.Getenv(roleEnv) != "" {
		return
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		panic(err)
	}
}
