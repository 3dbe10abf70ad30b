package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

// TestStoppedWhileDown: the request to stop comes while the server waits for its
// next start. Nobody will serve its clients any more, and they are told.
func TestStoppedWhileDown(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := start(t, options{flags: []string{"--restart-limit", "-1"}}, "/bin/sh", "-c",
		`[ -e "$0" ] && exit 3; exec "$@"`, gate, binary(t, "probe"), "-listen", ":7002")
	c := r.dial()
	c.echo("hello")
	closeGate(t, gate)
	r.kill()
	r.waitStatus("the restarts are spaced", func(d *status.Document) bool {
		return d.Process.State == status.ProcessRestarting && d.Process.Restarts > 8
	})
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.expectReset()
	if code := r.exitStatus(); code != 3 {
		t.Errorf("exit status %d, want that of the last process", code)
	}
}

// TestServerVanishes: the command cannot be started again. Its clients are told.
func TestServerVanishes(t *testing.T) {
	t.Parallel()
	r := prepare(t, options{})
	b, err := os.ReadFile(binary(t, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	server := filepath.Join(r.runtime, "server")
	if err := os.WriteFile(server, b, 0o755); err != nil {
		t.Fatal(err)
	}
	r.spawn(options{}, server, "-listen", ":7002")
	c := r.dial()
	c.echo("hello")
	if err := os.Remove(server); err != nil {
		t.Fatal(err)
	}
	r.kill()
	c.expectReset()
	if code := r.exitStatus(); code != 127 {
		t.Errorf("exit status %d", code)
	}
}

// TestServerIsReplaced: the next process is of the binary that stands in the
// old one's place.
func TestServerIsReplaced(t *testing.T) {
	t.Parallel()
	r := prepare(t, options{})
	server := filepath.Join(r.runtime, "server")
	install := func() {
		t.Helper()
		b, err := os.ReadFile(binary(t, "probe"))
		if err == nil {
			err = os.WriteFile(server+".new", b, 0o755)
		}
		if err == nil {
			err = os.Rename(server+".new", server)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install()
	r.spawn(options{}, server, "-listen", ":7002")
	c := r.dial()
	for range 3 {
		c.echo("hello")
		install()
		r.crash()
	}
	c.echo("hello")
}
