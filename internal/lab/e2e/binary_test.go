package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// binaries are built once for all tests.
var binaries struct {
	once sync.Once
	dir  string
	err  error
}

// sideBySide is how many tests run at a time for each CPU: they wait most of the
// time, for restarts and for clients that send again.
const sideBySide = 2

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) { // the default
		_ = f.Value.Set(strconv.Itoa(sideBySide * runtime.GOMAXPROCS(0)))
	}
	if f := flag.Lookup("test.list"); f.Value.String() == "" && os.Geteuid() == 0 {
		build() // else the first test would seem to take so long
	}
	code := m.Run()
	if binaries.dir != "" && os.Getenv(inContainer) == "" {
		os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

// binary returns the path of a program of this module, built from its package.
func binary(t testing.TB, name string) string {
	t.Helper()
	build()
	if binaries.err != nil {
		t.Fatalf("build: %v", binaries.err)
	}
	return filepath.Join(binaries.dir, name)
}

func build() {
	binaries.once.Do(func() {
		if binaries.dir = os.Getenv(inContainer); binaries.dir != "" {
			return
		}
		if binaries.dir, binaries.err = os.MkdirTemp("", "ftnet-e2e-"); binaries.err != nil {
			return
		}
		if binaries.err = os.Chmod(binaries.dir, 0o755); binaries.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", binaries.dir+"/", "../../../cmd/...", "../../../examples/...", "../workload/cmd/...", "./cmd/...")
		if out, err := cmd.CombinedOutput(); err != nil {
			binaries.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
}
