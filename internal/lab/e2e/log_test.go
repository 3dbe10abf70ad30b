package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

func newLogKey(t testing.TB) string {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLogServerKilled: a log server that is killed ten times under load holds
// the clients up, and nothing else.
func TestLogServerKilled(t *testing.T) {
	r := prepare(t, options{})
	l := startLogServer(r, "counter")
	r.spawn(options{flags: l.flags()}, "counter", "-listen", ":7000")
	f := families[0]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var (
		wg     sync.WaitGroup
		load   = workload.Counter{Address: f.address(7000), Conns: 100, Seed: 1, Dial: f.dial(r)}
		report *workload.Report
	)
	wg.Go(func() { report = load.Run(ctx) })
	for range 10 {
		before := logged(r.recovered())
		r.waitStatus("clients are served", func(d *status.Document) bool { return logged(d) > before+1000 })
		l.end(syscall.SIGKILL)
		l.start()
	}
	// A server that crashes while the log is away finds everything afterwards.
	l.end(syscall.SIGKILL)
	r.kill()
	pause(100 * time.Millisecond)
	l.start()
	r.recovered()
	r.logStatus("ok")
	cancel()
	wg.Wait()
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	t.Logf("%d replies, longest pause %v", report.Lines, report.LongestPause)
}

// TestLogServerSilent: a log server that says nothing for longer than anybody waits for
// one answer holds up the clients of a server that has crashed and reads the log, and
// nothing else.
func TestLogServerSilent(t *testing.T) {
	t.Parallel() // it waits
	r := prepare(t, options{})
	l := startLogServer(r, "probe")
	r.spawn(options{flags: l.flags()}, "probe", "-listen", ":7002")
	clients := r.clients(20)
	r.allStable(clients...)
	if err := l.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.kill()
	pause(13 * time.Second) // that is what is tested
	if err := l.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		c.echo("recovered")
	}
}

// TestLogServerLost: a log server that comes back without its store costs the connections
// their protection, those too that say nothing, and nothing else.
func TestLogServerLost(t *testing.T) {
	t.Parallel()
	r := prepare(t, options{})
	l := startLogServer(r, "probe")
	r.spawn(options{flags: l.flags()}, "probe", "-listen", ":7002")
	idle, busy := r.dial(), r.dial()
	idle.echo("hello")
	busy.echo("hello")
	r.allStable(idle, busy)
	l.end(syscall.SIGKILL)
	busy.echo("this is not acknowledged")
	l.store = t.TempDir()
	l.start()
	r.unprotected(reason.LogLost, 2)
	young := r.dial()
	young.echo("protected")
	idle.echo("not any more")
	busy.echo("nor this")
	r.allStable(young)
	r.crash()
	young.echo("recovered")
	idle.expectLost()
	busy.expectLost()
}

// allStable waits until the log has all that clients have sent, and calls it stable. A
// reply may come before the engine has read the request from the tap.
func (r *rig) allStable(clients ...*client) {
	r.t.Helper()
	sent := map[string]uint64{}
	for _, c := range clients {
		sent[c.LocalAddr().String()] = c.sent
	}
	r.waitStatus("all is stable", func(d *status.Document) bool {
		waiting := len(sent)
		for _, c := range d.Connections {
			if n, ok := sent[c.Client]; ok && c.BytesLogged == n && c.StableLag == 0 {
				waiting--
			}
		}
		return waiting == 0 && d.Log.Pending == 0
	})
}

// logged is how many bytes the living connections have in the log.
func logged(d *status.Document) (n uint64) {
	for _, c := range d.Connections {
		n += c.BytesLogged
	}
	return n
}

// TestLogServerGone: with --when-log-down unprotect, a log server that does not
// come back costs the connections their protection, and nothing else.
func TestLogServerGone(t *testing.T) {
	t.Parallel()
	r := prepare(t, options{})
	l := startLogServer(r, "probe")
	r.spawn(options{flags: append(l.flags(), "--when-log-down", "unprotect", "--log-down-after", "500ms")}, "probe", "-listen", ":7002")
	c, idle := r.dial(), r.dial()
	c.echo("hello")
	idle.echo("hello")
	r.allStable(c, idle)
	l.end(syscall.SIGKILL)
	r.logStatus("unreachable")
	c.echo("goes on")
	r.waitOutput("connection is not protected")
	c.echo("and on")
	l.start()
	r.logStatus("ok")
	r.dial().echo("protected again")
	r.crash()
	idle.echo("was never unprotected")
}
