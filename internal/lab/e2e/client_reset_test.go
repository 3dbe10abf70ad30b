package e2e

import (
	"path/filepath"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

// TestClientResetInOutage: a client that resets its connection during the
// outage is forgotten, and the others recover.
func TestClientResetInOutage(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	gone, stays := r.dial(), r.dial()
	gone.echo("before")
	stays.echo("before")
	closeGate(t, gate)
	r.kill()
	r.waitStatus("the outage is declared", func(d *status.Document) bool { return conns(d, "outage") == 2 })
	gone.send("echo never")
	gone.abort()
	r.waitStatus("the connection is gone", func(d *status.Document) bool { return len(d.Connections) == 1 })
	openGate(t, gate)
	stays.echo("after")
	d := r.recovered()
	if s := d.Services[0]; s.Recovered != 1 || len(d.Connections) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestClientReset: likewise while the server lives, and after a recovery.
func TestClientReset(t *testing.T) {
	r := probe(t, options{})
	for crashes := range 3 {
		c := r.dial()
		c.echo("before")
		for range crashes {
			r.crash()
		}
		c.echo("after")
		c.abort()
		r.waitStatus("the connection is gone", func(d *status.Document) bool { return len(d.Connections) == 0 })
	}
}
