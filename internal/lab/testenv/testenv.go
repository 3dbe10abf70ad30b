// Package testenv says what a test needs from the machine. Where CI promises
// it (FTNET_KERNEL_TESTS=require), a missing privilege or tool fails the test;
// elsewhere the test is skipped with the reason.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Required reports whether kernel tests must run rather than skip.
func Required() bool { return os.Getenv("FTNET_KERNEL_TESTS") == "require" }

// RequireRoot ends the test unless it runs as root: raw sockets, BPF and
// network namespaces need it.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root for raw sockets, BPF and network namespaces")
	}
}

// Missing ends the test for a reason that it has found itself: something that
// the machine lacks, although CI promises it.
func Missing(t testing.TB, why string) {
	t.Helper()
	missing(t, why)
}

// RequireTool ends the test unless the program is on the PATH.
func RequireTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, "needs the program "+name)
	}
}

func missing(t testing.TB, why string) {
	t.Helper()
	if Required() {
		t.Fatal(why + " (FTNET_KERNEL_TESTS=require)")
	}
	t.Skip(why)
}
