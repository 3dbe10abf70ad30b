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

// TestHouse checks every direct import of every package of the module, tests apart.
func TestHouse(t *testing.T) {
	module := list(t, "./internal/lab/archtest")[0].Module.Path + "/"
	packages, library := map[string]listed{}, map[string]string{} // by import path; a package's module
	for _, p := range list(t, "-deps", "./...") {
		if path, own := strings.CutPrefix(p.ImportPath, module); own {
			packages[path] = p
		} else if p.Module != nil {
			library[p.ImportPath] = p.Module.Path
		}
	}
	below := map[string]bool{}
	for _, floor := range house {
		for _, room := range floor.rooms {
			p, ok := packages[room.path]
			if !ok {
				t.Errorf("there is no package %s", room.path)
			}
			delete(packages, room.path)
			var own, libraries []string
			for _, i := range p.Imports {
				switch path, in := strings.CutPrefix(i, module); {
				case in:
					own = append(own, path)
					if !below[path] {
						t.Errorf("%s must not import %s, which does not stand below it", room.path, path)
					}
				case matches(i, pure[room.path]):
					t.Errorf("%s must not import %s", room.path, i)
				case library[i] != "": // not the standard library
					libraries = append(libraries, library[i])
				}
			}
			same(t, room.path, own, room.imports)
			same(t, room.path, libraries, room.libraries)
			below[room.path] = true
		}
	}
	for path := range packages {
		t.Errorf("%s has no room: add it to the house", path)
	}
}

// same checks that what a package imports is what the house says.
func same(t *testing.T, path string, imports []string, said string) {
	t.Helper()
	slices.Sort(imports)
	if is := strings.Join(slices.Compact(imports), " "); is != said {
		t.Errorf("%s imports\n%s\nand not, as the house says,\n%s", path, is, said)
	}
}

// TestPublic checks which packages of the module others can import.
func TestPublic(t *testing.T) {
	var is []string
	for _, floor := range house {
		for _, room := range floor.rooms {
			parts := strings.Split(room.path, "/")
			if !slices.Contains(parts, "internal") && parts[0] != "cmd" && parts[0] != "examples" {
				is = append(is, room.path)
			}
		}
	}
	slices.Sort(is)
	if got := strings.Join(is, " "); got != public {
		t.Errorf("the public packages are\n%s\nand not\n%s", got, public)
	}
}

// TestServerStaysSmall checks all that a server gets by importing ftnet,
// directly or not: no BPF, no netlink, no packet or CLI library.
func TestServerStaysSmall(t *testing.T) {
	module := list(t, "./internal/lab/archtest")[0].Module.Path + "/"
	allowed := trees(serverDeps)
	for _, own := range []string{"ftnet/...", "internal/control", "internal/journal", "internal/policy", "internal/seqnum"} {
		allowed = append(allowed, module+own)
	}
	onlyPullsIn(t, "./ftnet/...", allowed)
}

// TestCoreStaysPure checks all that the deterministic core needs, directly or not: no
// BPF, no netlink, no system calls of its own.
func TestCoreStaysPure(t *testing.T) {
	module := list(t, "./internal/lab/archtest")[0].Module.Path + "/"
	onlyPullsIn(t, "./rawio/internal/south", append(trees(coreDeps), module+"..."))
}

// trees are patterns for libraries and all below them.
func trees(libraries []string) (patterns []string) {
	for _, lib := range libraries {
		patterns = append(patterns, lib+"/...")
	}
	return patterns
}

// onlyPullsIn checks what packages need of others than the standard library.
func onlyPullsIn(t *testing.T, packages string, allowed []string) {
	t.Helper()
	for _, p := range list(t, packages) {
		for _, dep := range list(t, p.Deps...) {
			if !dep.Standard && !matches(dep.ImportPath, allowed) {
				t.Errorf("%s pulls in %s", p.ImportPath, dep.ImportPath)
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
