package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/netlab"
	"github.com/ftnet/ftnet/internal/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/testenv"
)

// binaries are built once for all tests.
var binaries struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binaries.dir != "" {
		os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

// binary returns the path of a program of this module, built from its package.
func binary(t testing.TB, name string) string {
	t.Helper()
	binaries.once.Do(func() {
		if binaries.dir, binaries.err = os.MkdirTemp("", "ftnet-e2e-"); binaries.err != nil {
			return
		}
		if binaries.err = os.Chmod(binaries.dir, 0o755); binaries.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", binaries.dir+"/", "../../cmd/...", "../../examples/...", "../workload/cmd/...", "./cmd/...")
		if out, err := cmd.CombinedOutput(); err != nil {
			binaries.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if binaries.err != nil {
		t.Fatalf("build: %v", binaries.err)
	}
	return filepath.Join(binaries.dir, name)
}

// rig is a lab with a server under `ftnet run` in its server namespace.
type rig struct {
	t       testing.TB
	lab     *netlab.Lab
	runtime string
	cmd     *netlab.Cmd
	out     output
	exited  chan error
	last    int // pid of the process that was killed last
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
	return &rig{t: t, lab: netlabtest.New(t, &o.lab), runtime: publicDir(t)}
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
	argv := append([]string{"run", "--runtime-dir", r.runtime, "--log-level", "debug"}, o.flags...)
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
			t.Logf("ftnet:\n%s", tail(r.out.String(), 12000))
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

// status fetches the engine's status document.
func (r *rig) status() (*status.Document, error) {
	entries, err := runtimedir.List(r.runtime)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Alive {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return status.Fetch(ctx, filepath.Join(r.runtime, e.ID, runtimedir.StatusSocket))
	}
	return nil, os.ErrNotExist
}

// waitStatus polls the status page, the only place that tells another process
// what the engine does, until ok holds.
func (r *rig) waitStatus(what string, ok func(*status.Document) bool) *status.Document {
	r.t.Helper()
	return r.waitFor(20*time.Second, what, ok)
}

func (r *rig) waitFor(limit time.Duration, what string, ok func(*status.Document) bool) *status.Document {
	r.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		d, err := r.status()
		if err == nil && ok(d) {
			return d
		}
		select {
		case err := <-r.exited:
			r.exited <- err
			r.t.Fatalf("ftnet ended while waiting until %s: %v\n%s", what, err, tail(r.out.String(), 4000))
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain until %s; last status %+v, error %v", what, d, err)
		}
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

// waitBytes waits until some connection has moved n bytes in either direction.
func (r *rig) waitBytes(n uint64) {
	r.t.Helper()
	r.waitFor(2*time.Minute, "bytes have moved", func(d *status.Document) bool {
		for _, c := range d.Connections {
			if max(c.BytesIn, c.BytesOut) >= n {
				return true
			}
		}
		return false
	})
}

// recovered waits until the service serves again and every connection is live.
func (r *rig) recovered() *status.Document {
	r.t.Helper()
	return r.waitStatus("the service has recovered", func(d *status.Document) bool {
		if d.Process.PID == r.last || d.Process.State != status.ProcessRunning || len(d.Services) == 0 {
			return false
		}
		for _, s := range d.Services {
			if s.State != status.ServiceListening {
				return false
			}
		}
		return true
	})
}

// family is how the tests reach the server.
type family struct {
	name    string
	network string
	address func(port int) string
	dial    func(r *rig) func(ctx context.Context, network, address string) (net.Conn, error)
}

var families = []family{
	{"ipv4", "tcp4", func(p int) string { return netlab.Server4.String() + ":" + strconv.Itoa(p) }, fromClient},
	{"ipv6", "tcp6", func(p int) string { return "[" + netlab.Server6.String() + "]:" + strconv.Itoa(p) }, fromClient},
	{"loopback", "tcp4", func(p int) string { return "127.0.0.1:" + strconv.Itoa(p) }, fromServer},
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func fromClient(r *rig) dialer { return r.lab.Client.DialContext }
func fromServer(r *rig) dialer { return r.lab.Server.DialContext }
