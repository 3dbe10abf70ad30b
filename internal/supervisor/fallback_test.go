package supervisor

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFallBack: what Restart brings is on trial until it serves. What does not start,
// or ends before, gives way to what ran before, with its configuration, and with its
// program even where another file is in its place.
func TestFallBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(t *testing.T, path string, c *Config)
		says string // Restart's error; empty: the process was started
	}{
		{"crashes", func(_ *testing.T, _ string, c *Config) { c.Env = append(os.Environ(), roleEnv+"=exit 3") }, ""},
		{"ends", func(_ *testing.T, _ string, c *Config) { c.Env = append(os.Environ(), roleEnv+"=exit 0") }, ""},
		{"is no program", func(t *testing.T, path string, _ *Config) { put(t, path, strings.NewReader("nonsense\n")) }, "exec format error"},
		{"crashes, in the old one's place", func(t *testing.T, path string, c *Config) {
			put(t, path, strings.NewReader("#!/bin/sh\nexit 3\n"))
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "server")
			self, err := os.Open(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			defer self.Close()
			put(t, path, self)
			r := newRig(t).run(t.Context(), "wait", func(c *Config) { c.Command = []string{path} })
			first := r.pid()
			r.s.Confirm()
			cfg := r.cfg
			tt.edit(t, path, &cfg)
			err = r.s.Restart(t.Context(), &cfg)
			if (err == nil) != (tt.says == "") || err != nil && (!strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "started again")) {
				t.Errorf("Restart: %v", err)
			}
			second := r.pid() // the old program prints it
			if second == first {
				t.Error("the same process")
			}
			r.s.Confirm()
			// From now on an end is an ordinary crash: the same is started again.
			last := r.ends()
			if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			r.pid()
			if n := len(r.ends()); n != len(last)+1 {
				t.Errorf("%d ends, want one more than %d", n, len(last))
			}
			r.signals <- syscall.SIGTERM
			if err := r.wait(); !errors.As(err, new(*ExitError)) {
				t.Errorf("Run returned %v", err)
			}
			if calls := strings.Join(r.calls, ","); strings.Count(calls, "fell back") != 1 || strings.Contains(calls, "gave up") {
				t.Errorf("hooks %s", calls)
			}
		})
	}
}

// put puts a program in a file's place, as mv does.
func put(t *testing.T, path string, from io.Reader) {
	t.Helper()
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err == nil {
		_, err = io.Copy(f, from)
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}
