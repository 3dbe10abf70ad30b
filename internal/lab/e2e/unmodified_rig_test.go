package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

// unmodifiedOptions are those of `ftnet run` for a server that knows nothing
// of it.
func unmodifiedOptions(port int, more ...string) options {
	return options{flags: append([]string{"--unmodified", "--listen", fmt.Sprint(":", port)}, more...)}
}

// modeProbe is a probe that knows nothing of ftnet, in one of its modes.
func modeProbe(t testing.TB, mode string, flags []string, args ...string) *rig {
	t.Helper()
	return start(t, unmodifiedOptions(7002, flags...), "probe", append([]string{"-mode", mode, "-listen", ":7002"}, args...)...)
}

// plainCounter is examples/counter built without ftnet.
func plainCounter(t testing.TB) string {
	t.Helper()
	path := binary(t, "counter-plain")
	plainCounterBuilt.once.Do(func() {
		out, err := exec.Command("go", "build", "-tags", "plain", "-o", path, "../../../examples/counter").CombinedOutput()
		if err != nil {
			plainCounterBuilt.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if plainCounterBuilt.err != nil {
		t.Fatal(plainCounterBuilt.err)
	}
	return path
}

var plainCounterBuilt struct {
	once sync.Once
	err  error
}

// program is the path of a program that Debian has a package for.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return path
}

var serves = regexp.MustCompile(`pid (\d+) serves (\S+)`)

// holder is the process that serves c now: the last that said so.
func (r *rig) holder(c *client) (pid int) {
	r.t.Helper()
	for _, m := range serves.FindAllStringSubmatch(r.out.String(), -1) {
		if m[2] == c.LocalAddr().String() || m[2] == strings.Replace(c.LocalAddr().String(), "[", "[::ffff:", 1) {
			pid, _ = strconv.Atoi(m[1]) // digits
		}
	}
	if pid == 0 {
		r.t.Fatalf("no process has said that it serves %v", c.LocalAddr())
	}
	return pid
}

// killWorker kills a process other than the main one.
func (r *rig) killWorker(pid int) {
	r.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		r.t.Fatal(err)
	}
}

// connection returns what the status page says of a client's connection.
func (r *rig) connection(c *client) (found status.Connection) {
	r.t.Helper()
	r.waitStatus("the connection is known", func(d *status.Document) bool {
		for _, conn := range d.Connections {
			if conn.Client == c.LocalAddr().String() {
				found = conn
				return true
			}
		}
		return false
	})
	return found
}

// check looks at what the status page counts for the only port.
func (r *rig) check(ok func(s *status.Service) bool) {
	r.t.Helper()
	d, err := r.status()
	if err != nil || len(d.Services) != 1 {
		r.t.Fatalf("%+v, %v", d, err)
	}
	if !ok(&d.Services[0]) {
		r.t.Errorf("%+v", d.Services[0])
	}
}
