package e2e

import (
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/status"
)

// kills is how often the acceptance test kills the server.
const kills = 20

// network is how the clients of the acceptance test reach the server.
type network struct {
	name string
	family
	lab netlab.Config
}

var (
	plainNetworks = []network{{"ipv4", families[0], netlab.Config{}}, {"ipv6", families[1], netlab.Config{}}, {"loopback", families[2], netlab.Config{}}}
	networks      = append(plainNetworks[:3:3],
		network{"mtu9000", families[0], netlab.Config{MTU: 9000}},
		lossy("lossy", families[0], 1), lossy("lossy-ipv6", families[1], 2))
)

// lossy is a link that loses, doubles and reorders.
func lossy(name string, f family, seed uint64) network {
	return network{name, f, netlab.Config{Impair: &netlab.Impair{
		Seed: seed, Loss: 0.01, Duplicate: 0.005, Reorder: 0.02, ReorderDelay: time.Millisecond,
	}}}
}

// TestCounterSurvivesKills: 100 connections that send lines without pause, the
// server killed 20 times at random moments, new connections dialled all the
// time. Every reply of every connection is right and no client sees an error.
// It is so with each log and over each kind of network.
func TestCounterSurvivesKills(t *testing.T) {
	m := counters(t)[0]
	for _, n := range networks {
		survive(t, inMemory, n, m)
		survive(t, onDisk, n, m)
		survive(t, remote, n, m)
	}
	survive(t, encrypted, networks[0], m)
}

// TestUnmodifiedCounterSurvivesKills is TestCounterSurvivesKills for a server
// that was built without ftnet. It is rolled forward on the wire, by an engine that
// reads the log itself.
func TestUnmodifiedCounterSurvivesKills(t *testing.T) {
	m := counters(t)[1]
	for _, n := range plainNetworks {
		survive(t, inMemory, n, m)
		survive(t, onDisk, n, m)
		survive(t, remote, n, m)
	}
	survive(t, inMemory, lossy("lossy", families[0], 3), m)
	survive(t, encrypted, networks[0], m)
}

// survive is one of them. They run side by side: they wait for restarts most of the
// time.
func survive(t *testing.T, b backend, n network, m mode) {
	t.Run(b.name+"/"+n.name, func(t *testing.T) {
		t.Parallel()
		r := prepare(t, options{lab: n.lab})
		m := m.over(b, r)
		m.spawn(r)
		load := r.load(n.family, 1)
		for i := range kills {
			if i == kills/2 { // not all of them while some of the clients wait for the first
				load.served()
			}
			load.moment(250 * time.Millisecond)
			r.kill()
		}
		d := r.recovered()
		load.atLeast(1000, kills)
		load.end()
		if d.Process.Restarts < kills {
			t.Errorf("the server was restarted %d times, want at least %d", d.Process.Restarts, kills)
		}
	})
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
