package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/supervisor"
)

// expectPattern reads what the probe's command "write N" answers.
func (c *client) expectPattern(n int) {
	c.t.Helper()
	b := make([]byte, n)
	if got, err := io.ReadFull(c.in, b); err != nil {
		c.t.Fatalf("after %d of %d bytes: %v", got, n, err)
	}
	for i := 0; i+8 <= n; i += 8 {
		if want := fmt.Sprintf("%07d\n", i/8); string(b[i:i+8]) != want {
			c.t.Fatalf("at %d: got %q, want %q", i, b[i:i+8], want)
		}
	}
}

// TestUnmodifiedIdleOutage: 30 seconds without a server, which outlast every
// client's keepalive probes.
func TestUnmodifiedIdleOutage(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := modeProbe(t, "plain", nil, "-gate", gate)
	idle, keepalive := r.dial(), r.dialKeepalive()
	idle.echo("before")
	keepalive.echo("before")
	closeGate(t, gate)
	r.kill()
	r.waitStatus("the outage is declared", func(d *status.Document) bool { return conns(d, "outage") == 2 })
	pause(15 * time.Second) // its length is what is tested
	idle.send("echo after")
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { r.dial().echo("new") }) // answered when there is somebody
	}
	pause(15 * time.Second)
	openGate(t, gate)
	idle.expect("after")
	keepalive.echo("after")
	wg.Wait()
}

// TestUnmodifiedCrashInRollForward: the server crashes while its connections are
// played to it, three times.
func TestUnmodifiedCrashInRollForward(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "crash")
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := modeProbe(t, "plain", nil, "-crash", file)
	clients := r.clients(10)
	for _, c := range clients { // so that there is something to play
		for i := range 50 {
			c.echo(strings.Repeat(fmt.Sprint(i, " "), 500))
		}
	}
	if err := os.WriteFile(file, []byte("3"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.kill()
	r.waitStatus("the server has crashed three more times", func(d *status.Document) bool {
		return d.Process.Restarts >= 4 && d.Process.State == status.ProcessRunning
	})
	for i, c := range clients {
		c.echo(fmt.Sprint("after ", i))
	}
}

// TestUnmodifiedDoubleCrash kills each process as soon as the status page names
// it.
func TestUnmodifiedDoubleCrash(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", []string{"--restart-limit", "-1"})
	clients := r.clients(10)
	r.poll = time.Millisecond
	for range 6 {
		// Only a server that ran for a while is restarted without delay.
		pause(supervisor.DefaultStableAfter + 50*time.Millisecond)
		for range 3 {
			r.kill()
		}
		r.recovered()
		for i, c := range clients {
			c.echo(fmt.Sprint("after ", i))
		}
	}
}

// TestUnmodifiedCrashDuringHandshake dials while the server is killed again and
// again, so that crashes fall between SYN, SYN-ACK, ACK and accept.
func TestUnmodifiedCrashDuringHandshake(t *testing.T) {
	for _, mode := range []string{"plain", "shared", "reuseport"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := modeProbe(t, mode, []string{"--restart-limit", "-1"})
			r.crashWhileDialling()
		})
	}
}
