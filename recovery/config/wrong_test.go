package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/recovery/config"
)

var rewrite = flag.Bool("rewrite", false, "write what the package does into testdata and docs/configuration.md")

// TestWrong reads the wrong files of testdata, as if they were in /etc/ftnet,
// and compares what is said about them with the golden files beside them.
func TestWrong(t *testing.T) {
	wrong(t, "testdata/wrong", 10, func(name string, data []byte) (bool, error) {
		f, err := config.Parse(name, data, newMachine())
		return f == nil, err
	})
}

// TestLogdWrong is TestWrong for the files of log servers.
func TestLogdWrong(t *testing.T) {
	wrong(t, "testdata/logd", 3, func(name string, data []byte) (bool, error) {
		l, err := config.ParseLogd(name, data, newMachine())
		return l == nil, err
	})
}

// wrong reads at least so many files of a directory. parse reports whether it had no
// result, and why.
func wrong(t *testing.T, dir string, least int, parse func(name string, data []byte) (none bool, err error)) {
	files, err := filepath.Glob(dir + "/*.toml")
	if err != nil || len(files) < least {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(path)
			none, err := parse("/etc/ftnet/"+name, data)
			var diags config.Diagnostics
			if !none || !errors.As(err, &diags) || len(diags) == 0 {
				t.Fatalf("a result: %v; %v", !none, err)
			}
			inside(t, data, diags)
			golden(t, strings.TrimSuffix(path, ".toml")+".golden", strings.ReplaceAll(diags.Error(), "/etc/ftnet/"+name, name)+"\n")
		})
	}
}

// inside checks that positions lie in the file and come in order.
func inside(t *testing.T, data []byte, diags config.Diagnostics) {
	t.Helper()
	lines := strings.Split(string(data), "\n")
	last := config.Position{}
	for _, d := range diags {
		if d.Line < 1 || d.Line > len(lines) || d.Column < 1 || d.Column > len(lines[d.Line-1])+1 {
			t.Errorf("not in the file: %v", d)
		}
		if d.Line < last.Line || d.Line == last.Line && d.Column < last.Column {
			t.Errorf("%v comes after %v", d, last)
		}
		if d.Message == "" || strings.ContainsAny(d.String(), "\n\x00") {
			t.Errorf("not a line: %q", d)
		}
		last = d.Position
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
