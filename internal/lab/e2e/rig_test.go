package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/status"
)

// statusPoll is how often a test looks at the status page while it waits: each time the
// engine lists the kernel's sockets, which takes one to three milliseconds of a CPU.
const statusPoll = 10 * time.Millisecond

// rig is a lab with a server under `ftnet run` in its server namespace.
type rig struct {
	t       testing.TB
	lab     *netlab.Lab
	runtime string
	bpffs   string // of the server's host
	cmd     *netlab.Cmd
	out     output
	exited  chan error
	last    int           // pid of the process that was killed last
	poll    time.Duration // between two looks at the status page
}

// options of a rig.
type options struct {
	lab    netlab.Config
	run    string   // program that supervises; default ftnet
	flags  []string // of ftnet run
	nowait bool     // for the server to listen
}

// start builds a lab and runs the server in it: a program of this module by
// its name, any other by its path.
func start(t testing.TB, o options, server string, args ...string) *rig {
	t.Helper()
	r := prepare(t, o)
	r.spawn(o, server, args...)
	return r
}

// prepare builds the lab.
func prepare(t testing.TB, o options) *rig {
	t.Helper()
	testenv.RequireRoot(t)
	r := &rig{t: t, poll: statusPoll, lab: netlabtest.New(t, &o.lab), runtime: publicDir(t), bpffs: testenv.BPFFS(t)}
	t.Cleanup(r.keepOutput)
	return r
}

// keepOutput writes all that the processes of a failed test have said to a
// file in the directory that FTNET_E2E_LOGS names.
func (r *rig) keepOutput() {
	dir := os.Getenv("FTNET_E2E_LOGS")
	if dir == "" || !r.t.Failed() {
		return
	}
	name := filepath.Join(dir, strings.ReplaceAll(r.t.Name(), "/", "-")+".log")
	if err := os.WriteFile(name, []byte(r.out.String()), 0o644); err != nil {
		r.t.Log(err)
	}
}

// publicDir is a t.TempDir that every user may enter.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ftnet-e2e-run-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// spawn starts ftnet; when the test ends it must leave nothing behind. It may
// be called again when the former one has ended.
func (r *rig) spawn(o options, server string, args ...string) {
	r.t.Helper()
	r.start(o, server, args...)
	r.t.Cleanup(r.end)
}

func (r *rig) start(o options, server string, args ...string) {
	t := r.t
	t.Helper()
	if o.run == "" {
		o.run = "ftnet"
	}
	argv := append([]string{"run", "--runtime-dir", r.runtime, "--bpffs", r.bpffs, "--log-level", "debug"}, o.flags...)
	if !filepath.IsAbs(server) {
		server = binary(t, server)
	}
	argv = append(argv, "--", server)
	r.exited = make(chan error, 1)
	r.cmd = r.lab.Server.Command(binary(t, o.run), append(argv, args...)...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited := r.cmd, r.exited
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ftnet:\n%s", digest(r.out.String()))
		}
	})
	t.Cleanup(func() { r.stop() })
	if o.nowait {
		return
	}
	r.waitStatus("the server listens", func(d *status.Document) bool {
		return d.Process.State == status.ProcessRunning
	})
}

// digest is what a log says that is not for debugging, and its end: a reader of a failed
// run looks for the reason first, which may have been said long before.
func digest(s string) string {
	var said strings.Builder
	for line := range strings.Lines(s) {
		if !strings.Contains(line, "[DEBUG]") && !strings.Contains(line, " serves ") {
			said.WriteString(line)
		}
	}
	return tail(said.String(), 12000) + "…\n" + tail(s, 6000)
}

// tail returns the last n bytes.
func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// stop asks ftnet to end and waits until it has.
func (r *rig) stop() error {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	return r.wait()
}

// wait waits until ftnet has ended.
func (r *rig) wait() error {
	select {
	case err := <-r.exited:
		r.exited <- err
		return err
	case <-time.After(30 * time.Second):
		_ = r.cmd.Process.Kill()
		r.t.Errorf("ftnet did not end within 30 s")
		return os.ErrDeadlineExceeded
	}
}

// kill sends the server process SIGKILL and returns at once. It first waits
// for a process other than the one killed before.
func (r *rig) kill() {
	r.t.Helper()
	d := r.waitStatus("a server process runs", func(d *status.Document) bool {
		return d.Process.PID != 0 && d.Process.PID != r.last
	})
	r.last = d.Process.PID
	if err := syscall.Kill(r.last, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		r.t.Fatal(err)
	}
}

// killChild is kill for a server that may not have begun to run.
func (r *rig) killChild() {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(r.poll) {
		for _, child := range procfs.Children(r.cmd.Process.Pid) {
			if child != r.last {
				r.last = child
				if err := syscall.Kill(child, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
					r.t.Fatal(err)
				}
				return
			}
		}
	}
	r.t.Fatal("waited in vain until a server process is started")
}
