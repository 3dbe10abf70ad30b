package e2e

import (
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/workload"
)

// TestUser: a server that has dropped its privileges is protected all the same.
func TestUser(t *testing.T) {
	r := probe(t, options{flags: []string{"--user", "nobody"}})
	c := r.dial()
	for range 3 {
		c.send("whoami")
		c.expect("65534")
		r.crash()
	}
}

func TestCounterAsNobody(t *testing.T) {
	r := start(t, options{flags: []string{"--user", "nobody"}}, "counter", "-listen", ":7000")
	client := workload.Counter{Address: families[0].address(7000), Conns: 10, Seed: 4, Dial: fromClient(r)}
	r.under(client, func() {
		for range 3 {
			pause(50 * time.Millisecond)
			r.crash()
		}
	})
}
