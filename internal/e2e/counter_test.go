package e2e

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/netlab"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/workload"
)

// kills is how often the acceptance test kills the server.
const kills = 20

// TestCounterSurvivesKills: 100 connections that send lines without pause, the
// server killed 20 times at random moments, new connections dialled all the
// time. Every reply of every connection is right and no client sees an error.
func TestCounterSurvivesKills(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // they wait for restarts most of the time
			r := start(t, options{}, "counter", "-listen", ":7000")
			survive(r, f)
		})
	}
	t.Run("mtu9000", func(t *testing.T) {
		t.Parallel()
		r := start(t, options{lab: netlab.Config{MTU: 9000}}, "counter", "-listen", ":7000")
		survive(r, families[0])
	})
	t.Run("lossy", func(t *testing.T) {
		t.Parallel()
		r := start(t, options{lab: netlab.Config{Impair: &netlab.Impair{
			Seed: 1, Loss: 0.01, Duplicate: 0.005, Reorder: 0.02, ReorderDelay: time.Millisecond,
		}}}, "counter", "-listen", ":7000")
		survive(r, families[0])
	})
	t.Run("lossy-ipv6", func(t *testing.T) {
		t.Parallel()
		r := start(t, options{lab: netlab.Config{Impair: &netlab.Impair{
			Seed: 2, Loss: 0.01, Duplicate: 0.005, Reorder: 0.02, ReorderDelay: time.Millisecond,
		}}}, "counter", "-listen", ":7000")
		survive(r, families[1])
	})
}

func survive(r *rig, f family) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var (
		wg     sync.WaitGroup
		steady = workload.Counter{Address: f.address(7000), Conns: 100, Seed: 1, Dial: f.dial(r)}
		// Short connections, each followed by the next: they are dialled,
		// served and closed in every phase of a crash.
		dialled        = workload.Counter{Address: f.address(7000), Conns: 4, Lines: 5, Redials: -1, Seed: 2, Dial: f.dial(r)}
		report, second *workload.Report
	)
	wg.Go(func() { report = steady.Run(ctx) })
	wg.Go(func() { second = dialled.Run(ctx) })
	random := rand.New(rand.NewPCG(1, 2))
	for range kills {
		pause(time.Duration(random.Int64N(int64(250 * time.Millisecond))))
		r.kill()
	}
	d := r.recovered()
	cancel()
	wg.Wait()
	for name, rep := range map[string]*workload.Report{"steady": report, "dialled": second} {
		if err := rep.Err(); err != nil {
			r.t.Errorf("%s clients: %v", name, err)
		}
		r.t.Logf("%s: %d connections, %d replies, longest pause %v", name, rep.Conns, rep.Lines, rep.LongestPause)
	}
	if d.Process.Restarts < kills {
		r.t.Errorf("the server was restarted %d times, want at least %d", d.Process.Restarts, kills)
	}
	if report.Lines < 1000 || second.Conns < kills {
		r.t.Errorf("the clients did too little to show anything: %+v, %+v", report, second)
	}
}

// pause is the random time between two kills: the moment is the test's input,
// not something that it waits for.
func pause(d time.Duration) { <-time.After(d) }

func conns(d *status.Document, state string) (n int) {
	for _, c := range d.Connections {
		if c.State == state {
			n++
		}
	}
	return n
}
