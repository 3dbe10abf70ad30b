package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRunLacksCapabilities: what is missing is told first, and nothing that is there.
func TestRunLacksCapabilities(t *testing.T) {
	file := configFile(t, validConfig)
	if err := os.Chmod(filepath.Dir(filepath.Dir(file)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run -- true", "serve --config " + file} {
		args := strings.Fields(command)
		cmd := asUser(t, []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}, args...)
		out, _ := cmd.CombinedOutput()
		const want = "ftnet: open the engine: it needs raw sockets and BPF: run as root, or give CAP_BPF and CAP_PERFMON "
		if code := cmd.ProcessState.ExitCode(); code != exitNoPrivilege || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: exit %d\n%s", command, code, out)
		}
	}
}
