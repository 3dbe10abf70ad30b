package daemon

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/daemon/admin"
	"github.com/ftnet/ftnet/recovery/daemon/notify"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(roleEnv); name != "" {
		os.Exit(role(name))
	}
	goleak.VerifyTestMain(m)
}

// rig is a daemon on a fake host.
type rig struct {
	t       *testing.T
	host    *fakeHost
	d       *daemon
	path    string // of the file
	out     text
	told    chan string // what the service manager is told
	signals chan os.Signal
	end     func()
	result  chan error
}

// text collects what is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// entry is one service in a file.
func entry(name, port string, more ...string) string {
	return "[[service]]\nname = \"" + name + "\"\nmode = \"unmodified\"\nlisten = [\":" + port + "\"]\ncommand = [\"/bin/sh\"]\n" +
		strings.Join(more, "\n") + "\n"
}

// start runs a daemon for a file of these services.
func start(t *testing.T, h *fakeHost, services ...string) *rig {
	t.Helper()
	r := &rig{t: t, host: h, path: filepath.Join(t.TempDir(), "s.toml"), told: make(chan string, 100),
		signals: make(chan os.Signal, 1), result: make(chan error, 1)}
	r.write(services...)
	o := Options{ConfigPath: r.path}
	f, err := o.load()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.d, r.end = newDaemon(ctx, h, f), cancel
	r.d.load, r.d.out, r.d.notify = o.load, &r.out, r.manager()
	r.d.log = hclog.New(&hclog.LoggerOptions{Output: &r.out})
	go func() { r.result <- errors.Join(r.d.run(cancel, r.signals), h.close()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.result; t.Failed() {
			t.Logf("%v\n%s", err, r.out.String())
		}
		r.d.notify.Close()
	})
	return r
}

// manager is a service manager that passes on what it is told.
func (r *rig) manager() *notify.Notifier {
	r.t.Helper()
	name := filepath.Join(r.t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 4096); ; {
			n, err := l.Read(buf)
			if err != nil {
				return
			}
			r.told <- string(buf[:n])
		}
	}()
	r.t.Cleanup(func() { l.Close(); <-done })
	n, err := notify.Open(func(variable string) string {
		if variable == "NOTIFY_SOCKET" {
			return name
		}
		return ""
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) write(services ...string) {
	r.t.Helper()
	if err := os.WriteFile(r.path, []byte(strings.Join(services, "")), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// expect waits until the service manager has been told that.
func (r *rig) expect(want string) {
	r.t.Helper()
	limit := time.After(10 * time.Second)
	var others []string
	for {
		select {
		case got := <-r.told:
			if strings.HasPrefix(got, want) {
				return
			}
			others = append(others, got)
		case <-limit:
			r.t.Fatalf("the service manager was not told %q but %q", want, others)
		}
	}
}

// do sends a command and returns what the daemon says.
func (r *rig) do(c admin.Command, service string) (said []string, err error) {
	err = admin.Do(context.Background(), filepath.Join(r.host.dir, admin.SocketName), admin.Request{Command: c, Service: service, Lines: -1},
		func(m admin.Message) error {
			switch {
			case m.Line != nil:
				said = append(said, m.Line.Text)
			case m.Said != "":
				said = append(said, m.Said)
			}
			return nil
		})
	slices.Sort(said) // what is done at the same time is said in any order
	return said, err
}

// check does a command and compares what is said, without times, and what the
// host was asked.
func (r *rig) check(c admin.Command, service string, said, calls []string) {
	r.t.Helper()
	r.host.take()
	got, err := r.do(c, service)
	if err != nil {
		r.t.Errorf("%s %s: %v", c, service, err)
	}
	for i := range got {
		got[i] = withoutTime(got[i])
	}
	if diff := cmp.Diff(said, got); diff != "" {
		r.t.Errorf("%s %s is answered (-want +got):\n%s", c, service, diff)
	}
	asked := r.host.take()
	slices.Sort(asked)
	if diff := cmp.Diff(calls, asked); diff != "" {
		r.t.Errorf("%s %s asks for (-want +got):\n%s", c, service, diff)
	}
}

// withoutTime replaces durations.
func withoutTime(s string) string {
	words := strings.Split(s, " ")
	for i, w := range words {
		if _, err := time.ParseDuration(strings.TrimSuffix(w, ",")); err == nil && w != "0" {
			words[i] = "T"
		}
	}
	return strings.Join(words, " ")
}

// refused does a command that must fail like this.
func (r *rig) refused(c admin.Command, service string, code admin.Code, says string) *admin.Error {
	r.t.Helper()
	_, err := r.do(c, service)
	var e *admin.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, says) {
		r.t.Errorf("%s %s: %v, want %s: %s", c, service, err, code, says)
		return &admin.Error{}
	}
	return e
}

// wait returns how the daemon has ended.
func (r *rig) wait() error {
	r.t.Helper()
	select {
	case err := <-r.result:
		r.result <- err
		return err
	case <-time.After(10 * time.Second):
		r.t.Fatal("the daemon does not end")
		return nil
	}
}

func TestReadyAndEnd(t *testing.T) {
	h := newFakeHost(t)
	h.slow = true
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("STATUS=0 of 2 services up; a is starting; b is starting")
	h.service("a").change(func() { h.service("a").listens = true })
	r.expect("STATUS=1 of 2 services up; b is starting")
	h.service("b").change(func() { h.service("b").listens = true })
	r.expect("READY=1\nSTATUS=2 services up")
	r.signals <- syscall.SIGTERM
	r.expect("STOPPING=1")
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if !h.closed {
		t.Error("the host was not closed")
	}
	// What was written until the end has been passed on.
	for _, want := range []string{"a | a says hello\n", "b | b says hello\n"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("no %q in\n%s", want, r.out.String())
		}
	}
}

// TestOneEnds: the others go on, the daemon is ready, and its end tells.
func TestOneEnds(t *testing.T) {
	h := newFakeHost(t)
	h.refuse["bad"] = errors.New("cannot be started")
	r := start(t, h, entry("bad", "7001"), entry("good", "7002"), entry("weak", "7003"))
	r.expect("READY=1\nSTATUS=2 of 3 services up; bad has ended: cannot be started")
	h.service("weak").die <- errors.New("gave up")
	r.expect("STATUS=1 of 3 services up; bad has ended: cannot be started; weak has ended: gave up")

	r.refused(admin.Start, "bad", admin.CodeFailed, "bad: cannot be started")
	r.check(admin.Start, "weak", []string{"weak: started, T"}, []string{"add weak", "remove weak", "run weak"})
	h.service("weak").die <- nil
	r.expect("STATUS=1 of 3 services up; bad has ended: cannot be started; weak has ended")
	r.signals <- syscall.SIGINT
	var failed *FailedError
	if err := r.wait(); !errors.As(err, &failed) || len(failed.Services) != 1 || failed.Services["bad"] == nil {
		t.Error(err)
	}
}

// TestEndsLast: a service that is given up while the daemon is about to end is
// told of, too.
func TestEndsLast(t *testing.T) {
	h := newFakeHost(t)
	h.linger = true
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	h.service("a").die <- errors.New("gave up")
	for len(h.service("a").die) > 0 { // it has been taken
		runtime.Gosched()
	}
	r.end()
	var failed *FailedError
	if err := r.wait(); !errors.As(err, &failed) || len(failed.Services) != 1 || failed.Services["a"] == nil {
		t.Error(err)
	}
}

func TestCommands(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	r.check(admin.Restart, "a", []string{"a: restarted through recovery, 3 connections, T"}, []string{"restart a false"})
	r.refused(admin.Start, "a", admin.CodeState, "a: runs already")
	r.check(admin.Stop, "a", []string{"a: stopped, T"}, []string{"stop a"})
	r.expect("STATUS=1 of 2 services up; a is stopped")
	r.refused(admin.Stop, "a", admin.CodeState, "a: does not run")
	r.check(admin.Start, "a", []string{"a: started, T"}, []string{"start a"})
	r.expect("STATUS=2 services up")
	if _, err := r.do(admin.Stop, "a"); err != nil {
		t.Error(err)
	}
	r.check(admin.Restart, "a", []string{"a: started, T"}, []string{"start a"})
	r.refused(admin.Restart, "c", admin.CodeUnknown, `no service "c"; there are: a, b`)
	r.check(admin.Logs, "b", []string{"b says hello"}, nil)
	h.refuse["b"] = errors.New("no")
	r.refused(admin.Restart, "b", admin.CodeFailed, "b: no")
}

// TestStopWhileEnding: a service that ends of itself when it is stopped can be
// started again all the same.
func TestStopWhileEnding(t *testing.T) {
	h := newFakeHost(t)
	h.fragile = true
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	if _, err := r.do(admin.Stop, "a"); err != nil {
		t.Fatal(err)
	}
	r.expect("STATUS=0 of 1 service up; a has ended")
	r.check(admin.Start, "a", []string{"a: started, T"}, []string{"add a", "remove a", "run a"})
}

func TestReload(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"), entry("c", "7003"), entry("d", "7004"))
	r.expect("READY=1")
	r.check(admin.Reload, "", []string{"nothing has changed"}, nil)
	r.expect("RELOADING=1\nMONOTONIC_USEC=")
	r.expect("READY=1")
	// a stays, b is changed, c only its policy, d goes, e comes.
	r.write(entry("a", "7001"), entry("b", "7002", `env = { X = "1" }`), entry("c", "7003", `drain = "1s"`), entry("e", "7004"))
	r.check(admin.Reload, "", []string{
		"b: restarted through recovery, 3 connections, T (env)",
		"c: changed without a restart (drain)",
		"d: removed",
		"e: started, T",
	}, []string{"add e", "remove d", "restart b true", "run e", "update c"})
	r.expect("READY=1\nSTATUS=4 services up")
	r.check(admin.Reload, "", []string{"nothing has changed"}, nil)
	r.refused(admin.Stop, "d", admin.CodeUnknown, "there are: a, b, c, e")
}

// TestReloadBad: nothing is changed, and all that is wrong is told.
func TestReloadBad(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	h.take()
	r.write(entry("a", "seven"), entry("b", "7002", `drain = "soon"`))
	e := r.refused(admin.Reload, "", admin.CodeConfig, "is not valid: 2 errors; nothing was changed")
	if len(e.Diagnostics) != 2 || !strings.HasPrefix(e.Diagnostics[0], r.path+":") || !strings.Contains(e.Diagnostics[1], "soon") {
		t.Errorf("%q", e.Diagnostics)
	}
	r.expect("RELOADING=1")
	r.expect("READY=1\nSTATUS=1 service up")
	if calls := h.take(); len(calls) > 0 {
		t.Error(calls)
	}
	if !strings.Contains(r.out.String(), e.Diagnostics[1]) {
		t.Errorf("the log does not say %q:\n%s", e.Diagnostics[1], r.out.String())
	}
	os.Remove(r.path)
	r.refused(admin.Reload, "", admin.CodeFailed, "no such file")
}

// TestReloadFails: a service that cannot be changed does not keep the others from
// it, and the next reload tries again.
func TestReloadFails(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	r.write(entry("a", "7001", `env = { X = "1" }`), entry("b", "7002", `env = { X = "1" }`))
	h.refuse["a"] = errors.New("not now")
	r.refused(admin.Reload, "", admin.CodeFailed, "a: not now")
	h.mu.Lock()
	delete(h.refuse, "a")
	h.mu.Unlock()
	r.check(admin.Reload, "", []string{"a: restarted through recovery, 3 connections, T (env)"}, []string{"restart a true"})
}

// TestReloadStopped: a service that was stopped stays so, and is started with
// its new configuration when that is asked for.
func TestReloadStopped(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	if _, err := r.do(admin.Stop, "a"); err != nil {
		t.Fatal(err)
	}
	r.write(entry("a", "7001", `env = { X = "1" }`), entry("b", "7002"))
	r.check(admin.Reload, "", []string{"a: changed, stays stopped (env)"}, []string{"remove a"})
	r.check(admin.Start, "a", []string{"a: started, T"}, []string{"add a", "run a"})
}

// TestReloadEngine: what takes a restart of ftnet is said each time, and the
// level of the log is changed at once.
func TestReloadEngine(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	r.write("[engine]\nmax-connections = 10\nlog-level = \"debug\"\n", entry("a", "7001"))
	later := "engine.max-connections: changed, but takes effect only when ftnet is started again"
	r.check(admin.Reload, "", []string{"engine.log-level: debug", later}, nil)
	if !r.d.log.IsDebug() {
		t.Error("the level of the log was not changed")
	}
	r.check(admin.Reload, "", []string{later}, nil)
}

// TestHangup: SIGHUP reloads.
func TestHangup(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	r.write(entry("b", "7001"))
	r.signals <- syscall.SIGHUP
	r.expect("RELOADING=1")
	r.expect("READY=1\nSTATUS=1 service up")
	if h.service("a") != nil || h.service("b") == nil {
		t.Error(h.take())
	}
}

// TestEndWhileStarting: a service that never listens does not hold the end up,
// and who waits for it is told.
func TestEndWhileStarting(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	h.mu.Lock()
	h.slow = true
	h.mu.Unlock()
	h.service("a").die <- errors.New("gave up")
	r.expect("STATUS=0 of 1 service up; a has ended: gave up")
	refused := make(chan error)
	go func() {
		_, err := r.do(admin.Start, "a")
		refused <- err
	}()
	r.expect("STATUS=0 of 1 service up; a is starting")
	r.end()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if err := <-refused; err == nil || !strings.Contains(err.Error(), "a: started, but") {
		t.Error(err)
	}
}

// TestStuckOutput: what cannot be written does not hold the end up.
func TestStuckOutput(t *testing.T) {
	h := newFakeHost(t)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	u, err := newUnit(h, config.Service{Name: "a"}, pw, func() {})
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 1000)
	line[999] = '\n'
	for range 1000 { // more than the pipe holds
		if _, err := u.capture.Stdout.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.remove(); err != nil {
		t.Error(err)
	}
	select {
	case <-u.passed:
		t.Error("all has been written?")
	default:
	}
}
