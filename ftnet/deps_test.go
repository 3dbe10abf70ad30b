package ftnet

import (
	"os/exec"
	"strings"
	"testing"
)

// A server that imports this package must not pull in packet, BPF or command
// line libraries.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		switch {
		case strings.HasSuffix(dep, "/ftnet/ftnet"), strings.HasSuffix(dep, "/internal/journal"),
			strings.HasSuffix(dep, "/internal/control"), strings.HasSuffix(dep, "/internal/policy"), strings.HasPrefix(dep, "golang.org/x/sys/"):
		default:
			t.Errorf("depends on %s", dep)
		}
	}
}
