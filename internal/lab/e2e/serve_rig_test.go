package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// served is a rig with `ftnet serve` in place of `ftnet run`.
type served struct {
	*rig
	config string   // the file
	args   []string // what runs ftnet, before its own arguments
	env    []string // more of it
	flags  []string // more of ftnet's
	files  []*os.File
}

// serve runs the services of a file, made of entries, and waits until they
// serve. change, if not nil, changes how the daemon is started.
func serve(t testing.TB, change func(*served), services ...string) *served {
	t.Helper()
	s := newServed(t, change, services...)
	s.begin()
	t.Cleanup(s.end)
	s.waitOutput("ready: status=")
	return s
}

// end is rig.end; nor may a process be left.
func (s *served) end() {
	s.t.Helper()
	s.rig.end()
	out, err := exec.Command("ip", "netns", "pids", s.lab.Server.Name()).Output()
	left := slices.DeleteFunc(strings.Fields(string(out)), func(pid string) bool {
		return pid == strconv.Itoa(os.Getpid()) // whose first thread may be there
	})
	if err != nil || len(left) > 0 {
		s.t.Errorf("left behind: processes %q, %v", left, err)
	}
}

// newServed is serve, but for the start.
func newServed(t testing.TB, change func(*served), services ...string) *served {
	t.Helper()
	s := &served{rig: prepare(t, options{})}
	s.config = filepath.Join(publicDir(t), "services.toml")
	s.write(services...)
	if change != nil {
		change(s)
	}
	return s
}

// begin starts the daemon.
func (s *served) begin() {
	t := s.t
	t.Helper()
	argv := append(append([]string(nil), s.args...), binary(t, "ftnet"), "serve", "--config", s.config,
		"--runtime-dir", s.runtime, "--bpffs", s.bpffs, "--log-level", "debug")
	argv = append(argv, s.flags...)
	s.exited = make(chan error, 1)
	s.cmd = s.lab.Server.Command(argv[0], argv[1:]...)
	s.cmd.Env, s.cmd.ExtraFiles = append(os.Environ(), s.env...), s.files
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited := s.cmd, s.exited
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ftnet:\n%s", digest(s.out.String()))
		}
	})
	t.Cleanup(func() { s.stop() })
}

func (s *served) write(services ...string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(strings.Join(services, "\n")), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// listening is the entry of a probe that calls ftnet.Listen.
func listening(t testing.TB, name string, port int, more ...string) string {
	return serviceEntry(name, "listen", port, []string{binary(t, "probe"), "-listen", fmt.Sprint(":", port)}, more)
}

// unmodified is the entry of a probe that knows nothing of ftnet.
func unmodified(t testing.TB, name string, port int, more ...string) string {
	return serviceEntry(name, "unmodified", port, []string{binary(t, "probe"), "-mode", "plain", "-listen", fmt.Sprint(":", port)}, more)
}

func serviceEntry(name, mode string, port int, command, more []string) string {
	return fmt.Sprintf("[[service]]\nname = %q\nmode = %q\nlisten = [\":%d\"]\ncommand = [\"%s\"]\n%s\n",
		name, mode, port, strings.Join(command, `", "`), strings.Join(more, "\n"))
}

// ftnet runs one of the commands for the daemon and returns what it prints and
// its exit status.
func (s *served) ftnet(args ...string) (out string, code int) {
	s.t.Helper()
	cmd := exec.Command(binary(s.t, "ftnet"), append(args, "--runtime-dir", s.runtime)...)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// says runs a command that must end well and say this.
func (s *served) says(want string, args ...string) {
	s.t.Helper()
	if out, code := s.ftnet(args...); code != 0 || !strings.Contains(out, want) {
		s.t.Errorf("ftnet %s: exit %d, %q; want %q", strings.Join(args, " "), code, out, want)
	}
}

// starts counts how often a probe has been started.
func (s *served) starts(name string) int {
	s.t.Helper()
	out, code := s.ftnet("logs", name, "-n", "-1")
	if code != 0 {
		s.t.Errorf("ftnet logs: exit %d: %s", code, out)
	}
	return strings.Count(out, " ready\n")
}

// waitAny waits until one of the texts is in the output and returns which.
func (s *served) waitAny(texts ...string) int {
	s.t.Helper()
	for limit := time.After(20 * time.Second); ; {
		out, more := s.out.next()
		for i, text := range texts {
			if strings.Contains(out, text) {
				return i
			}
		}
		select {
		case <-more:
		case <-limit:
			s.t.Fatalf("waited in vain for one of %q", texts)
		}
	}
}

// pid returns the process of a service.
func (s *served) pid(name string) (pid int) {
	s.t.Helper()
	s.waitStatus("the service "+name+" has a process", func(d *status.Document) bool {
		for _, p := range d.Programs {
			if p.Name == name {
				pid = p.Process.PID
			}
		}
		return pid != 0
	})
	return pid
}

// chat has clients send lines, and checks the replies, until f returns: less
// than chatter, because commands take their time and a connection has a quota.
func (s *served) chat(clients []*client, f func()) {
	s.t.Helper()
	meanwhile(len(clients), func(i, n int) {
		clients[i].echo(strings.Repeat(fmt.Sprintf("%d.%d ", i, n), 1+n*37%100))
		pause(time.Millisecond)
	}, f)
}

// crash kills a service's main process and waits until another one serves.
func (s *served) crash(name string) {
	s.t.Helper()
	old := s.pid(name)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.waitStatus("the service "+name+" serves again", func(d *status.Document) bool {
		for _, p := range d.Programs {
			if p.Name == name {
				return p.Process.PID != old && p.Ready
			}
		}
		return false
	})
}

// dialPort connects to a service from the lab's client.
func (s *served) dialPort(port int) *client {
	s.t.Helper()
	return s.dialTo(fromClient(s.rig), fmt.Sprint("10.77.0.2:", port))
}
