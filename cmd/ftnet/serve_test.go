package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/recovery/config"
)

// configFile writes a configuration.
func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "services.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const validConfig = `
[[service]]
name = "a"
mode = "listen"
command = ["/bin/sh"]

[[service]]
name = "b"
mode = "unmodified"
listen = ["127.0.0.1:7001", "[::1]:7001"]
command = ["/bin/sh"]
`

func TestServeCheck(t *testing.T) {
	path := configFile(t, validConfig)
	want := path + ": valid, 2 services: a (listen), b (unmodified 127.0.0.1:7001 [::1]:7001)\n"
	if out, code := execute("serve", "--config", path, "--check"); code != 0 || out != want {
		t.Errorf("exit %d: %s", code, out)
	}
	bad := configFile(t, strings.ReplaceAll(validConfig, "unmodified", "modified")+"colour = \"red\"\n")
	for _, args := range [][]string{{"serve", "-c", bad, "--check"}, {"serve", "-c", bad}} {
		out, code := execute(args...)
		lines := strings.Split(out, "\n")
		if code != exitUsage || len(lines) != 3 || !strings.HasPrefix(lines[0], bad+":9:") ||
			!strings.HasPrefix(lines[1], bad+":12:") || lines[2] != bad+" is not valid: 2 errors" {
			t.Errorf("%q: exit %d:\n%s", args, code, out)
		}
	}
}

func TestServeUsage(t *testing.T) {
	path := configFile(t, validConfig)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"serve", exitUsage, "--config FILE is required"},
		{"serve now", exitUsage, "unexpected argument \"now\""},
		{"serve -c " + path + " --log-level loud", exitUsage, "--log-level"},
		{"serve -c " + path + ".none", exitEngine, "no such file"},
		{"serve -c " + path + ".none --check", exitEngine, "no such file"},
	} {
		if out, code := execute(strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit %d: %s", tt.args, code, out)
		}
	}
}

// TestServeOverride: a flag wins over the file, the file over the environment.
func TestServeOverride(t *testing.T) {
	t.Setenv("FTNET_RUNTIME_DIR", "/env")
	for _, tt := range []struct {
		args, file []string // directory, level and BPF file system
		want       [3]string
	}{
		{[]string{}, []string{"", "warn", ""}, [3]string{"/env", "warn", "/sys/fs/bpf"}},
		{[]string{}, []string{"/file", "warn", "/bpf"}, [3]string{"/file", "warn", "/bpf"}},
		{[]string{"--runtime-dir", "/flag", "--log-level", "debug", "--bpffs", "/own"}, []string{"/file", "warn", "/bpf"}, [3]string{"/flag", "debug", "/own"}},
	} {
		var o serveOptions
		cmd := &cobra.Command{}
		o.flags(cmd)
		if err := cmd.ParseFlags(tt.args); err != nil {
			t.Fatal(err)
		}
		said, err := o.keys.File()
		if err != nil {
			t.Fatal(err)
		}
		f := &config.File{Engine: config.Engine{RuntimeDir: tt.file[0], LogLevel: tt.file[1], BPFFS: tt.file[2]}}
		o.override(cmd, said, f)
		if got := [3]string{f.Engine.RuntimeDir, f.Engine.LogLevel, f.Engine.BPFFS}; got != tt.want {
			t.Errorf("%q %q: %q, want %q", tt.args, tt.file, got, tt.want)
		}
	}
}
