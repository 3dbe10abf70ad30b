package e2e

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

func TestHalfCloseByClientInOutage(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	probe(t, options{}, "-gate", gate).halfCloseInOutage(gate)
}

// halfCloseInOutage has a client close its side while there is no server.
func (r *rig) halfCloseInOutage(gate string) {
	r.t.Helper()
	c := r.dial()
	c.echo("before")
	closeGate(r.t, gate)
	r.kill()
	r.waitStatus("the outage is declared", func(d *status.Document) bool { return conns(d, "outage") == 1 })
	c.send("echo after")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		r.t.Fatal(err)
	}
	openGate(r.t, gate)
	c.expect("after")
	c.expectEOF()
}

func TestHalfCloseByClientBeforeCrash(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	c := r.dial()
	c.send("half")
	c.expectEOF()
	c.send("more")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.waitStatus("the connection has ended", ended)
	r.crash()
	r.dial().echo("the next")
}

func TestHalfCloseByServerThenCrash(t *testing.T) {
	r := probe(t, options{})
	c := r.dial()
	c.echo("before")
	c.send("half")
	c.expectEOF()
	r.crash()
	r.crash()
	for range 3 {
		c.send("12345")
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.waitStatus("the connection has ended", ended)
	r.waitOutput("half 18 <nil>") // the server has read the client's bytes to their end
}

// ended reports whether no connection is left but in its TIME-WAIT.
func ended(d *status.Document) bool { return conns(d, "lingering") == len(d.Connections) }
