package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/internal/runtimedir"
)

// fakeDaemon answers like a daemon below base and keeps what it was asked.
func fakeDaemon(t *testing.T, base string) (asked func() admin.Request) {
	t.Helper()
	dir, err := runtimedir.Create(base)
	if err != nil {
		t.Fatal(err)
	}
	l, err := dir.Listen(admin.SocketName)
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu   sync.Mutex
		last admin.Request
	)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- admin.Serve(ctx, l, func(_ context.Context, r admin.Request, w *admin.Writer) error {
			mu.Lock()
			last = r
			mu.Unlock()
			switch {
			case r.Service == "unknown":
				return &admin.Error{Code: admin.CodeUnknown, Message: `no service "unknown"`}
			case r.Service == "broken":
				return errors.New("broken: it does not listen")
			case r.Command == admin.Reload:
				return &admin.Error{Code: admin.CodeConfig, Message: "s.toml is not valid, nothing was changed",
					Diagnostics: []string{"s.toml:1:1: first", "s.toml:2:7: second"}}
			case r.Command == admin.Logs:
				at := time.Date(2026, 5, 4, 12, 0, 0, 1e6, time.UTC)
				return errors.Join(w.Missed(3), w.Line(admin.Line{Time: at, Stream: "stdout", Text: "a line"}),
					w.Line(admin.Line{Time: at, Stream: "stderr", Text: "cut", Partial: true}))
			}
			return w.Say(fmt.Sprintf("%s: %s done", r.Service, r.Command))
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, dir.Close()); err != nil {
			t.Error(err)
		}
	})
	return func() admin.Request {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

func TestDaemonCommands(t *testing.T) {
	base := t.TempDir()
	if out, code := execute("reload", "--runtime-dir", base); code != exitEngine || !strings.Contains(out, "no daemon (ftnet serve) runs below "+base) {
		t.Errorf("exit %d: %s", code, out)
	}
	asked := fakeDaemon(t, base)
	for _, tt := range []struct {
		args string
		code int
		says string
		want admin.Request
	}{
		{"restart a", 0, "a: restart done\n", admin.Request{Command: admin.Restart, Service: "a"}},
		{"stop a", 0, "a: stop done\n", admin.Request{Command: admin.Stop, Service: "a"}},
		{fmt.Sprintf("start a --engine %d", os.Getpid()), 0, "a: start done\n", admin.Request{Command: admin.Start, Service: "a"}},
		{"reload", exitUsage, "s.toml:1:1: first\ns.toml:2:7: second\ns.toml is not valid, nothing was changed", admin.Request{Command: admin.Reload}},
		{"restart unknown", exitUsage, `no service "unknown"`, admin.Request{Command: admin.Restart, Service: "unknown"}},
		{"start broken", exitFailed, "it does not listen", admin.Request{Command: admin.Start, Service: "broken"}},
		{"logs a", 0, "(3 lines lost)\na line\ncut\n", admin.Request{Command: admin.Logs, Service: "a", Lines: 100}},
		{"logs -f -n -1 a", 0, "a line\n", admin.Request{Command: admin.Logs, Service: "a", Lines: -1, Follow: true}},
		{"logs a -n 0 -t", 0, " stdout a line\n", admin.Request{Command: admin.Logs, Service: "a"}},
		{"logs a -n -2", exitUsage, "--lines", admin.Request{}},
		{"logs", exitUsage, "accepts 1 arg", admin.Request{}},
		{"reload now", exitUsage, "unexpected argument", admin.Request{}},
		{"stop a --engine deadbeef", exitEngine, `no daemon "deadbeef"`, admin.Request{}},
	} {
		out, code := execute(append(strings.Fields(tt.args), "--runtime-dir", base)...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit %d\n%s", tt.args, code, out)
		}
		if tt.want.Version = admin.Version; tt.want.Command != "" && asked() != tt.want {
			t.Errorf("%s: asked for %+v", tt.args, asked())
		}
	}
}

func TestStampedLine(t *testing.T) {
	var b strings.Builder
	at := time.Date(2026, 5, 4, 12, 0, 0, 120e6, time.UTC)
	if err := writeStampedLine(&b, admin.Line{Time: at, Stream: "stderr", Text: "text"}); err != nil {
		t.Fatal(err)
	}
	stamp, rest, _ := strings.Cut(b.String(), " ")
	if got, err := time.Parse(time.RFC3339Nano, stamp); err != nil || !got.Equal(at) || rest != "stderr text\n" {
		t.Errorf("%q", b.String())
	}
}
