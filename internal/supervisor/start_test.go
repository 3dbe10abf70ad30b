package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

func TestCleanExit(t *testing.T) {
	r := newRig(t).run(t.Context(), "exit 0", nil)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	want := "starting 1,started,exited clean 0"
	if got := strings.Join(r.calls, ","); got != want {
		t.Errorf("hooks %s, want %s", got, want)
	}
}

func TestPassThrough(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("environment of Starting", func(t *testing.T) {
		r := newRig(t)
		r.starting = func(int) ([]string, error) { return []string{"FTNET_X=from hook"}, nil }
		r.run(t.Context(), "print FTNET_X", nil)
		if got := r.line(); got != "from hook" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("directory", func(t *testing.T) {
		r := newRig(t).run(t.Context(), "pwd", func(c *Config) { c.Dir = dir })
		if got := r.line(); got != dir {
			t.Errorf("got %q, want %q", got, dir)
		}
	})
	t.Run("stdin", func(t *testing.T) {
		r := newRig(t).run(t.Context(), "cat", nil)
		r.pid()
		fmt.Fprintln(r.in, "hello")
		if got := r.line(); got != "hello" {
			t.Errorf("got %q", got)
		}
		r.in.Close()
		if err := r.wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestUser(t *testing.T) {
	testenv.RequireRoot(t)
	// The child must be able to reach the test binary.
	for _, tt := range []struct{ user, want string }{
		{"nobody", "65534 65534 [65534] nobody"},
		{"4711:4712", "4711 4712 []"},
		{"65534:4712", "65534 4712 [] nobody"},
		{"nobody:0", "65534 0 [] nobody"},
	} {
		t.Run(tt.user, func(t *testing.T) {
			exe := filepath.Join(publicDir(t), "child")
			copyFile(t, exe, os.Args[0])
			r := newRig(t)
			r.run(t.Context(), "whoami", func(c *Config) {
				c.Command = []string{exe}
				c.User = tt.user
				c.Env = []string{roleEnv + "=whoami"}
			})
			if got := r.line(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func publicDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "supervisor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, to, from string) {
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want error  // errors.Is
		says string // in the message
	}{
		{"no such command", Config{Command: []string{"ftnet-no-such-command"}}, exec.ErrNotFound, "ftnet-no-such-command"},
		{"no such file", Config{Command: []string{dir + "/none"}}, fs.ErrNotExist, "none"},
		{"not executable", Config{Command: []string{plain}}, fs.ErrPermission, "plain"},
		{"a directory", Config{Command: []string{dir}}, nil, "directory"},
		{"not a program", Config{Command: []string{text}}, syscall.ENOEXEC, "exec format"},
		{"no such user", Config{Command: []string{"true"}, User: "ftnet-nobody"}, nil, `unknown user ftnet-nobody`},
		{"number without group", Config{Command: []string{"true"}, User: "4711"}, nil, "give 4711:GID"},
		{"no such group", Config{Command: []string{"true"}, User: "0:ftnet-nogroup"}, nil, "ftnet-nogroup"},
		{"empty group", Config{Command: []string{"true"}, User: "0:"}, nil, "uid:gid"},
		{"no such directory", Config{Command: []string{"true"}, Dir: dir + "/none"}, fs.ErrNotExist, "none"},
		{"file as directory", Config{Command: []string{"true"}, Dir: plain}, syscall.ENOTDIR, "plain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.cfg.Signals = r.signals
			s, err := New(tt.cfg, r)
			if err == nil {
				err = s.Run(t.Context())
				if r.gaveUp != err {
					t.Errorf("GaveUp got %v, Run %v", r.gaveUp, err)
				}
			}
			var start *StartError
			if !errors.As(err, &start) || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v", err)
			}
			if len(r.calls) > 2 {
				t.Errorf("tried again: %v", r.calls)
			}
		})
	}
}

func TestNoCommand(t *testing.T) {
	if _, err := New(Config{}, nil); err == nil {
		t.Error("no error")
	}
}
