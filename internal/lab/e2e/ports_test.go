package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

// TestManyPorts: all ports of a server recover together.
func TestManyPorts(t *testing.T) {
	r := start(t, options{}, "probe", "-listen", ":7002,127.0.0.1:7003,[fd77::2]:7004,:7005")
	r.waitOutput("ready")
	addresses := []string{"10.77.0.2:7002", "[fd77::2]:7002", "[fd77::2]:7004", "10.77.0.2:7005"}
	var clients []*client
	for range 3 {
		for _, a := range addresses {
			clients = append(clients, r.dialTo(fromClient(r), a))
		}
		clients = append(clients, r.dialTo(fromServer(r), "127.0.0.1:7003"))
	}
	for round := range 4 {
		for i, c := range clients {
			c.echo(fmt.Sprint("round ", round, " client ", i))
		}
		d := r.recovered()
		if len(d.Services) != 4 || len(d.Connections) != len(clients) {
			t.Fatalf("%d services, %d connections", len(d.Services), len(d.Connections))
		}
		for _, s := range d.Services {
			if s.Outages != uint64(round) || s.Recovered != uint64(round*s.Connections) {
				t.Errorf("round %d: %+v", round, s)
			}
		}
		r.crash()
	}
}

// TestListensAgain: a server closes its listener and opens another one on the
// same port; what it has accepted is not touched.
func TestListensAgain(t *testing.T) {
	r := probe(t, options{})
	old := r.dial()
	old.echo("hello")
	if err := r.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.waitOutput("listening again")
	d := r.recovered()
	if len(d.Services) != 1 || d.Services[0].Outages != 0 || d.Services[0].Connections != 1 {
		t.Errorf("%+v", d.Services)
	}
	old.echo("again")
	fresh := r.dial()
	fresh.echo("hello")
	for range 2 {
		r.crash()
		old.echo("recovered")
		fresh.echo("recovered")
	}
}

// TestOneInterface: with --interface only what comes over it is protected.
func TestOneInterface(t *testing.T) {
	r := probe(t, options{flags: []string{"--interface", "lo"}})
	remote, local := r.dial(), r.dialTo(fromServer(r), "127.0.0.1:7002")
	remote.echo("hello")
	local.echo("hello")
	d := r.waitStatus("both connections are known", func(d *status.Document) bool { return len(d.Connections) == 2 })
	for _, c := range d.Connections {
		if overLo := strings.HasPrefix(c.Client, "127."); (c.Protection == status.Protected) != overLo || (c.How != "") != overLo || (c.Reason == "") != overLo {
			t.Errorf("%+v", c)
		}
	}
	if list := r.unprotected(reason.OtherWay, 1); len(list) != 1 || list[0].Reason != reason.OtherWay.With("s0") {
		t.Errorf("%+v", list)
	}
	if d.Engine.Interfaces[0] != "lo" || len(d.Engine.Interfaces) != 1 {
		t.Errorf("%+v", d.Engine)
	}
	r.crash()
	local.echo("recovered")
	if _, err := remote.in.ReadByte(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("without protection: %v", err)
	}
	r.dial().echo("the next")
}

// TestClosedPort: a port whose listener the server has closed is the service's as long
// as it has connections, which go on.
func TestClosedPort(t *testing.T) {
	r := start(t, options{}, "probe", "-listen", "10.77.0.2:0")
	first := r.recovered().Services[0].Address
	c := r.dialTo(fromClient(r), first)
	c.echo("hello")
	if err := r.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.waitOutput("listening again")
	d := r.waitStatus("another port listens", func(d *status.Document) bool { return len(d.Services) == 2 })
	for _, s := range d.Services {
		if want := status.ServiceListening; s.Address != first && s.State != want {
			t.Errorf("%+v", s)
		} else if s.Address == first && (s.State != status.ServiceClosed || s.Connections != 1) {
			t.Errorf("%+v", s)
		}
	}
	c.echo("still there")
	c.Close()
	d = r.waitStatus("the closed port is gone", func(d *status.Document) bool { return len(d.Services) == 1 })
	if d.Services[0].Address == first {
		t.Errorf("%+v", d.Services)
	}
}
