package e2e

import (
	"fmt"
	"testing"
)

// TestManyPorts: all ports of a server recover together.
func TestManyPorts(t *testing.T) {
	r := start(t, options{}, "probe", "-listen", ":7002,127.0.0.1:7003,[fd77::2]:7004,:7005")
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
