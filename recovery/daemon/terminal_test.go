package daemon

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

func TestLeaveTerminal(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=shell")
	master := testenv.StartInTerminal(t, cmd)
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
