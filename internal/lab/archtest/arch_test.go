package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type listed struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string
	Deps       []string
	Error      *struct{ Err string }
}

// list runs go list in the module's root.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Standard,Module,Imports,Deps,Error"}, args...)...)
	cmd.Dir = "../../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.Bytes())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		all = append(all, p)
	}
}

func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, tree := strings.CutSuffix(pattern, "...")
		prefix = strings.TrimSuffix(prefix, "/")
		return path == prefix || tree && (prefix == "" || strings.HasPrefix(path, prefix+"/"))
	})
}

// TestLayers checks every direct import of every package of the module.
func TestLayers(t *testing.T) {
	module := list(t, "./internal/lab/archtest")[0].Module.Path + "/"
	for _, p := range list(t, "./...") {
		path := strings.TrimPrefix(p.ImportPath, module)
		at := slices.IndexFunc(layers, func(l layer) bool { return matches(path, l.packages) })
		if at < 0 {
			t.Errorf("%s is in no layer: add it to layers_test.go", path)
			continue
		}
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); ok {
				if !matches(own, layers[at].may) && !matches(own, layers[at].packages) {
					t.Errorf("%s must not import %s", path, own)
				}
				continue
			}
			if matches(i, pure[path]) {
				t.Errorf("%s must not import %s", path, i)
			}
			if lib, ok := library(i); !ok {
				t.Errorf("%s imports %s, which has no owner: add it to layers_test.go", path, i)
			} else if lib != "" && !matches(path, owners[lib]) {
				t.Errorf("%s must not import %s: only %v may", path, i, owners[lib])
			}
		}
	}
}

// library returns the key of owners that the import belongs to, or "" for the
// standard library.
func library(path string) (key string, ok bool) {
	if host, _, _ := strings.Cut(path, "/"); !strings.Contains(host, ".") {
		return "", true
	}
	for lib := range owners {
		if matches(path, []string{lib + "/..."}) {
			return lib, true
		}
	}
	return "", false
}

// TestServerStaysSmall checks all that a server gets by importing ftnet,
// directly or not: no BPF, no netlink, no packet or CLI library.
func TestServerStaysSmall(t *testing.T) {
	module := list(t, "./internal/lab/archtest")[0].Module.Path + "/"
	var allowed []string
	for _, lib := range serverDeps {
		allowed = append(allowed, lib+"/...")
	}
	for _, own := range []string{"ftnet/...", "internal/control", "internal/journal", "internal/seqnum"} {
		allowed = append(allowed, module+own)
	}
	for _, p := range list(t, "./ftnet/...") {
		for _, dep := range list(t, p.Deps...) {
			if !dep.Standard && !matches(dep.ImportPath, allowed) {
				t.Errorf("%s pulls in %s", strings.TrimPrefix(p.ImportPath, module), dep.ImportPath)
			}
		}
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		path, pattern string
		want          bool
	}{
		{"rawio", "rawio", true}, {"rawio", "rawio/...", true}, {"rawio/internal/tap", "rawio/...", true},
		{"rawio/internal/tap", "rawio", false}, {"rawiox", "rawio/...", false}, {"x/y", "...", true},
	} {
		if got := matches(test.path, []string{test.pattern}); got != test.want {
			t.Errorf("matches(%q, %q) is %v", test.path, test.pattern, got)
		}
	}
}
