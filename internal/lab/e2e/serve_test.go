package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

const exitUsage = 64

// TestServe: two services of both modes on one engine, through all that can be
// done to one of them, while the other one's client sees nothing.
func TestServe(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, listening(t, "own", 7002), unmodified(t, "plain", 7003, `drain = "500ms"`))
	own, plain := s.dialPort(7002), s.dialPort(7003)
	both := func(text string) {
		t.Helper()
		own.echo(text)
		plain.echo(text)
	}
	both("before")
	s.says("own: restarted through recovery, 1 connection, ", "restart", "own")
	both("own was restarted")
	s.says("plain: restarted through recovery, 1 connection, ", "restart", "plain")
	both("plain was restarted")
	for _, name := range []string{"own", "plain"} {
		if err := syscall.Kill(s.pid(name), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		both(name + " was killed")
		if n := s.starts(name); n != 3 {
			t.Errorf("%s was started %d times, want 3", name, n)
		}
	}

	s.says("plain: stopped, ", "stop", "plain")
	plain.expectEOF()
	plain.Close()
	if _, err := fromClient(s.rig)(t.Context(), "tcp", "10.77.0.2:7003"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a client of the stopped service: %v", err)
	}
	if out, code := s.ftnet("stop", "plain"); code != 1 || !strings.Contains(out, "plain: does not run") {
		t.Errorf("exit %d: %s", code, out)
	}
	s.says("plain: started, ", "start", "plain")
	s.dialPort(7003).echo("started again")

	if out, code := s.ftnet("restart", "other"); code != exitUsage || !strings.Contains(out, `no service "other"; there are: own, plain`) {
		t.Errorf("exit %d: %s", code, out)
	}
	own.Close()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestServeReload: one service goes, one comes, one changes its command, one
// its policy, one nothing; the clients of all that stay see none of it.
func TestServeReload(t *testing.T) {
	t.Parallel()
	same, policy := listening(t, "same", 7002), unmodified(t, "policy", 7003)
	s := serve(t, nil, same, policy, listening(t, "command", 7004), unmodified(t, "other", 7005), listening(t, "gone", 7006, `drain = "500ms"`))
	var clients []*client
	for port := 7002; port <= 7005; port++ {
		clients = append(clients, s.dialPort(port))
	}
	gone := s.dialPort(7006)
	gone.echo("before")
	s.chat(clients, func() {
		s.says("nothing has changed", "reload")
		s.write(same, unmodified(t, "policy", 7003, `drain = "1s"`), listening(t, "command", 7004, `args = ["-workers", "4"]`),
			unmodified(t, "other", 7005, `env = { OTHER = "1" }`), listening(t, "new", 7006))
		out, code := s.ftnet("reload")
		for _, want := range []string{"gone: removed\n", "policy: changed without a restart (drain)\n", "new: started, ",
			"command: restarted through recovery, 1 connection, ", "other: restarted through recovery, 1 connection, "} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("exit %d, no %q in:\n%s", code, want, out)
			}
		}
	})
	gone.expectEOF()
	s.dialPort(7006).echo("new")
	for name, want := range map[string]int{"same": 1, "policy": 1, "command": 2, "other": 2, "new": 1} {
		if n := s.starts(name); n != want {
			t.Errorf("%s was started %d times, want %d", name, n, want)
		}
	}
}

// TestServeReloadLogPolicy: when something is logged of a service of which nothing was, who
// is connected stays unprotected for that reason, and is counted and named once.
func TestServeReloadLogPolicy(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, unmodified(t, "policy", 7003, `log = "off"`))
	old := s.dialPort(7003)
	old.echo("before")
	s.write(unmodified(t, "policy", 7003, `log = "full"`))
	s.says("policy: changed without a restart", "reload")
	late := s.dialPort(7003)
	late.echo("after")
	old.echo("after")
	for range 3 { // each compares sockets and connections
		d := s.waitStatus("the late connection is protected", func(d *status.Document) bool {
			for _, c := range d.Connections {
				if c.Client == late.LocalAddr().String() {
					return c.Protection == status.Protected
				}
			}
			return false
		})
		if n := d.Services[0].Unprotected; len(n) != 1 || n[string(reason.Off)] != 1 {
			t.Errorf("the status counts %v", n)
		}
		for _, c := range d.Connections {
			if c.Client == old.LocalAddr().String() && c.Reason != string(reason.Off) {
				t.Errorf("%+v", c)
			}
		}
		if len(d.Connections) != 2 {
			t.Errorf("%d connections", len(d.Connections))
		}
	}
}

// TestServeReloadBad: a file that is not valid changes nothing, and all that is
// wrong with it is said, to who asks and in the log.
func TestServeReloadBad(t *testing.T) {
	s := serve(t, nil, listening(t, "own", 7002))
	c := s.dialPort(7002)
	c.echo("before")
	s.write(listening(t, "own", 7002, `env = { CHANGED = "1" }`, `colour = "red"`), listening(t, "other", 7002))
	out, code := s.ftnet("reload")
	for _, want := range []string{s.config + ":7:1: ", `"colour"`, "port 7002", "2 errors; nothing was changed"} {
		if code != exitUsage || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in:\n%s", code, want, out)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.waitOutput("signal: signal=hangup")
	s.says("own: restarted through recovery, 1 connection", "restart", "own") // the old one still
	c.echo("after")
	if n := s.starts("own"); n != 2 {
		t.Errorf("started %d times", n)
	}
	s.waitOutput("[ERROR] ftnet: " + s.config + ":7:1: ") // what is wrong
}

// TestServeBinary: a deploy is a reload after the program's file was replaced.
func TestServeBinary(t *testing.T) {
	program := ownProgram(t)
	entry := serviceEntry("own", "listen", 7002, []string{program, "-listen", ":7002"}, nil)
	s := serve(t, nil, entry, unmodified(t, "plain", 7003))
	clients := []*client{s.dialPort(7002), s.dialPort(7003)}
	s.chat(clients, func() {
		for i := range 3 {
			replace(t, program)
			s.says("own: restarted through recovery, 1 connection", "reload")
			if n := s.starts("own"); n != i+2 {
				t.Errorf("started %d times, want %d", n, i+2)
			}
		}
	})
	if n := s.starts("plain"); n != 1 {
		t.Errorf("the other service was started %d times", n)
	}
}

// ownProgram is a probe in a file of its own.
func ownProgram(t *testing.T) string {
	path := publicDir(t) + "/server"
	replace(t, path)
	return path
}

// replace puts another copy of the probe in a file's place.
func replace(t *testing.T, path string) {
	t.Helper()
	program, err := os.ReadFile(binary(t, "probe"))
	if err == nil {
		err = os.WriteFile(path+".new", program, 0o755)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestServeGivesUp: a service that crashes again and again ends alone. The
// daemon goes on, and tells by its exit status.
func TestServeGivesUp(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, listening(t, "own", 7002, "restart = { limit = 2 }"), unmodified(t, "plain", 7003))
	own, plain := s.dialPort(7002), s.dialPort(7003)
	own.send("crash")
	own.expectReset()
	s.waitOutput("service has ended: service=own error=\"gave up after 3 crashes")
	plain.echo("goes on")
	s.says("own: started, ", "start", "own")
	s.dialPort(7002).echo("back")
	bad := s.dialPort(7002)
	bad.send("crash")
	bad.expectReset()
	plain.echo("goes on")
	plain.Close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.exitStatus(); code != exitGaveUp {
		t.Errorf("exit status %d", code)
	}
}

// TestServeLogs: what services write can be followed across restarts, and is
// passed on to the daemon's standard error.
func TestServeLogs(t *testing.T) {
	s := serve(t, nil, listening(t, "own", 7002), unmodified(t, "plain", 7003))
	s.waitOutput("own | ")
	cmd := exec.Command(binary(t, "ftnet"), "logs", "-f", "-n", "1", "plain", "--runtime-dir", s.runtime)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.HasSuffix(lines.Text(), want) {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
	}
	next(" ready")
	c := s.dialPort(7003)
	next(" serves " + c.LocalAddr().String())
	s.says("plain: restarted", "restart", "plain")
	next(" ready")
	c.Close()
	if err := s.stop(); err != nil { // the end of the daemon is the end of the log
		t.Error(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestServeFlood: a service that writes much more than anybody reads is not held
// up by a reader that does not read.
func TestServeFlood(t *testing.T) {
	s := serve(t, nil, serviceEntry("yes", "unmodified", 7003, []string{"/bin/sh", "-c", fmt.Sprintf(
		"yes & exec %s -mode plain -listen :7003", binary(t, "probe"))}, nil))
	c := s.dialPort(7003)
	stuck := exec.Command(binary(t, "ftnet"), "logs", "-f", "yes", "--runtime-dir", s.runtime)
	if _, err := stuck.StdoutPipe(); err != nil { // nobody reads it
		t.Fatal(err)
	}
	if err := stuck.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stuck.Process.Kill(); stuck.Wait() }()
	for i := range 20 {
		c.echo(fmt.Sprint(i))
	}
	if out, code := s.ftnet("logs", "yes", "-n", "3"); code != 0 || strings.Count(out, "\n") != 3 || !strings.Contains(out, "y\n") {
		t.Errorf("exit %d: %.100q", code, out)
	}
}
