package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/supervisor"
)

func TestAbortReachesClient(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	for _, crashes := range []int{0, 1, 2} {
		c := r.dial()
		c.echo("before")
		for range crashes {
			r.crash()
		}
		c.send("abort")
		c.expectReset()
	}
}

// TestCrashDuringHandshake dials while the server is killed again and again,
// so that crashes fall between SYN, SYN-ACK, ACK and Accept.
func TestCrashDuringHandshake(t *testing.T) {
	t.Parallel()
	r := probe(t, options{flags: []string{"--restart-limit", "-1"}})
	r.crashWhileDialling()
}

// crashWhileDialling kills the server again and again while clients dial.
func (r *rig) crashWhileDialling() {
	r.t.Helper()
	r.dialling(8, func() {
		for range 15 {
			pause(20 * time.Millisecond)
			r.kill()
		}
		r.recovered()
	})
}

func TestCrashDuringRecovery(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crash")
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := probe(t, options{}, "-crash", file)
	var clients []*client
	for i := range 10 {
		c := r.dial()
		c.echo(fmt.Sprint("before ", i))
		clients = append(clients, c)
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

// TestDoubleCrash kills a process, and the next one as soon as the engine has it for a
// child, or as soon as the status page names it; until that has come twice before the service
// had recovered from the first crash, and twice for a process that had not listened yet.
func TestDoubleCrash(t *testing.T) {
	r := probe(t, options{flags: []string{"--restart-limit", "-1"}})
	var clients []*client
	for i := range 10 {
		c := r.dial()
		c.echo(fmt.Sprint("before ", i))
		clients = append(clients, c)
	}
	r.poll = time.Millisecond
	shortest := time.Hour
	outages, recovered := uint64(0), uint64(0)
	unlistened, unrecovered := 0, 0 // second crashes that came so early
	for round := 0; round < 6 || unlistened < 2 || unrecovered < 2; round++ {
		if round == 30 {
			t.Fatalf("of %d second crashes only %d came before the process listened, and %d before the clients were recovered",
				round, unlistened, unrecovered)
		}
		// Only a server that ran for a while is restarted without delay.
		pause(supervisor.DefaultStableAfter + 50*time.Millisecond)
		r.kill()
		first := time.Now()
		if round%2 == 0 {
			r.killChild()
		} else {
			r.kill()
		}
		shortest = min(shortest, time.Since(first))
		d := r.recovered()
		for i, c := range clients {
			c.echo(fmt.Sprint("after ", i))
		}
		s := d.Services[0]
		if s.Outages-outages == 1 {
			unlistened++
		}
		if s.Recovered-recovered < 2*uint64(len(clients)) {
			unrecovered++
		}
		outages, recovered = s.Outages, s.Recovered
	}
	t.Logf("second crashes before the process listened: %d, before the clients were recovered: %d; shortest time between two kills: %v",
		unlistened, unrecovered, shortest)
}
