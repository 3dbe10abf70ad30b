package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/runtimedir"
)

const roleEnv = "ADMIN_TEST_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(roleEnv); path != "" { // a client of another user
		fmt.Println(Do(context.Background(), path, Request{Command: Reload}, func(Message) error { return nil }))
		return
	}
	goleak.VerifyTestMain(m)
}

// server serves h until the test ends.
func server(t *testing.T, h Handler) (path string, end func() error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "admin") // t.TempDir is too long for a socket, and closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, SocketName)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h) }()
	end = func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { end() })
	return path, end
}

// collect is a client that keeps all messages.
func collect(ctx context.Context, path string, r Request) (got []Message, err error) {
	err = Do(ctx, path, r, func(m Message) error {
		got = append(got, m)
		return nil
	})
	return got, err
}

func TestAnswers(t *testing.T) {
	line := Line{Time: time.Unix(1, 0).UTC(), Stream: "stderr", Text: "text", Partial: true}
	path, _ := server(t, func(_ context.Context, r Request, w *Writer) error {
		switch r.Command {
		case Reload:
			return &Error{Code: CodeConfig, Message: "not valid", Diagnostics: []string{"a", "b"}}
		case Stop:
			return errors.New("it will not")
		case Logs:
			return errors.Join(w.Missed(3), w.Line(line))
		}
		return w.Say(r.Service + ": done")
	})
	for _, tt := range []struct {
		r    Request
		want []Message
		err  error
	}{
		{Request{Command: Restart, Service: "a"}, []Message{{Said: "a: done"}}, nil},
		{Request{Command: Logs, Service: "a"}, []Message{{Missed: 3}, {Line: &line}}, nil},
		{Request{Command: Stop, Service: "a"}, nil, &Error{Code: CodeFailed, Message: "it will not"}},
		{Request{Command: Reload}, nil, &Error{Code: CodeConfig, Message: "not valid", Diagnostics: []string{"a", "b"}}},
		{Request{Command: "dance"}, nil, &Error{Code: CodeRequest, Message: `unknown command "dance"`}},
	} {
		got, err := collect(t.Context(), path, tt.r)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", tt.r.Command, diff)
		}
		var e *Error
		errors.As(err, &e)
		if want, _ := tt.err.(*Error); (err == nil) != (tt.err == nil) || !cmp.Equal(want, e) {
			t.Errorf("%s: %v, want %v", tt.r.Command, err, tt.err)
		}
	}
	stop := errors.New("enough")
	err := Do(t.Context(), path, Request{Command: Restart, Service: "a"}, func(Message) error { return stop })
	if err != stop {
		t.Error(err)
	}
}

// TestClientGoes: the handler of a client that follows learns that it has gone.
func TestClientGoes(t *testing.T) {
	gone := make(chan struct{})
	path, _ := server(t, func(ctx context.Context, _ Request, w *Writer) error {
		if err := w.Say("here"); err != nil {
			return err
		}
		<-ctx.Done()
		close(gone)
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	err := Do(ctx, path, Request{Command: Logs, Service: "a", Follow: true}, func(Message) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-gone
}

// TestServerEnds: a client that follows gets its last word, and one that does
// not read does not hold the end up.
func TestServerEnds(t *testing.T) {
	began := make(chan struct{}, 2)
	path, end := server(t, func(ctx context.Context, r Request, w *Writer) error {
		began <- struct{}{}
		if r.Service == "stuck" {
			for w.Say(strings.Repeat("x", 1<<16)) == nil {
			}
			return nil
		}
		<-ctx.Done()
		return &Error{Code: CodeEnding, Message: "bye"}
	})
	stuck, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	io.WriteString(stuck, `{"version":1,"command":"logs","service":"stuck","follow":true}`+"\n")
	<-began
	last := make(chan error, 1)
	go func() {
		_, err := collect(t.Context(), path, Request{Command: Logs, Service: "a", Follow: true})
		last <- err
	}()
	<-began
	begin := time.Now()
	if err := end(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > endGrace+4*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := <-last; err == nil || err.Error() != "bye" {
		t.Error(err)
	}
	if _, err := collect(t.Context(), path, Request{Command: Reload}); err == nil {
		t.Error("it goes on")
	}
}

// TestTooMany: those beyond the bound are turned away, and there is room again
// when one has gone.
func TestTooMany(t *testing.T) {
	path, _ := server(t, func(_ context.Context, r Request, w *Writer) error { return nil })
	var conns []net.Conn
	for range maxConns {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	if _, err := collect(t.Context(), path, Request{Command: Reload}); err == nil {
		t.Error("one more is served")
	}
	conns[0].Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := collect(t.Context(), path, Request{Command: Reload})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestSilent: who says nothing is not waited for.
func TestSilent(t *testing.T) {
	path, _ := server(t, func(context.Context, Request, *Writer) error { return nil })
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, `{"version":1`)
	c.SetReadDeadline(time.Now().Add(4 * requestTimeout))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), "timeout") {
		t.Errorf("%q %v", answer, err)
	}
}

// TestOtherUsers: whatever the modes of the files, the kernel's word on who
// asks decides.
func TestOtherUsers(t *testing.T) {
	testenv.RequireRoot(t)
	path, _ := server(t, func(context.Context, Request, *Writer) error { return nil })
	if err := errors.Join(os.Chmod(path, 0o666), os.Chmod(filepath.Dir(path), 0o755)); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Open("/proc/self/exe") // its directory is not everybody's
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	for uid, want := range map[uint32]string{0: "<nil>\n", 65534: "user 65534 is not permitted"} {
		cmd := exec.Command(os.Args[0])
		cmd.Path, cmd.ExtraFiles = "/proc/self/fd/3", []*os.File{exe}
		cmd.Env = append(os.Environ(), roleEnv+"="+path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("user %d: %v %s", uid, err, out)
		}
	}
}

func TestFind(t *testing.T) {
	base := t.TempDir()
	find := func(id, says string) (path string) {
		t.Helper()
		path, err := Find(base, id)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", id, err, says)
		}
		return path
	}
	engine := func(daemon bool) *runtimedir.Dir {
		d, err := runtimedir.Create(base)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		if daemon {
			l, err := d.Listen(SocketName)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			if st, err := os.Stat(filepath.Join(d.Path, SocketName)); err != nil || st.Mode().Perm() != 0o600 {
				t.Error(st.Mode(), err)
			}
		}
		return d
	}
	find("", "no daemon (ftnet serve) runs below "+base)
	if err := os.MkdirAll(filepath.Join(base, "deadbeef"), 0o755); err != nil { // stale
		t.Fatal(err)
	}
	single := engine(false)
	find("", fmt.Sprintf("there are: %s (pid %d)", single.ID, os.Getpid()))
	a := engine(true)
	if got := find("", ""); got != filepath.Join(a.Path, SocketName) {
		t.Error(got)
	}
	if got := find(strconv.Itoa(os.Getpid()), ""); got != filepath.Join(a.Path, SocketName) {
		t.Error(got)
	}
	find(single.ID, "no daemon \""+single.ID+"\" runs")
	b := engine(true)
	find("", "several daemons")
	if got := find(b.ID, ""); got != filepath.Join(b.Path, SocketName) {
		t.Error(got)
	}
}
