package daemon

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/internal/sdnotify"
)

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
	r.d, r.end = newDaemon(ctx, h, h.add, f), cancel
	r.d.load, r.d.out, r.d.notify = o.load, &r.out, r.manager()
	r.d.log = hclog.New(&hclog.LoggerOptions{Output: &r.out})
	go func() { r.result <- errors.Join(r.d.run(cancel, r.signals), h.Close()) }()
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
