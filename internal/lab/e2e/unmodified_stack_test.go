package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestUnmodifiedStacks is TestStacks for connections that are rolled forward on
// the wire.
func TestUnmodifiedStacks(t *testing.T) {
	plain := map[string]string{"tcp_timestamps": "0", "tcp_sack": "0", "tcp_window_scaling": "0"}
	for _, test := range []struct {
		name           string
		client, server map[string]string // below /proc/sys/net/ipv4
	}{
		{"usual", nil, nil},
		{"client without timestamps", map[string]string{"tcp_timestamps": "0"}, nil},
		{"client without scaling", map[string]string{"tcp_window_scaling": "0"}, nil},
		{"client without anything", plain, nil},
		{"server without anything", nil, plain},
		{"ECN", map[string]string{"tcp_ecn": "1"}, map[string]string{"tcp_ecn": "1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := unmodifiedOptions(7002)
			r := prepare(t, o)
			sysctls(t, r.lab.Client, test.client)
			sysctls(t, r.lab.Server, test.server)
			r.spawn(o, "probe", "-mode", "plain", "-listen", ":7002")
			r.keepsOptions()
		})
	}
}

// TestUnmodifiedStackChanges: the server's buffers and what its stack offers
// change between two crashes.
func TestUnmodifiedStackChanges(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", nil)
	clients := r.clients(3)
	r.chatter(clients, func() {
		for _, rmem := range []string{"4096 1000000 64000000", "4096 16384 65535", "4096 131072 6291456"} {
			sysctls(t, r.lab.Server, map[string]string{"tcp_rmem": rmem})
			r.crash()
			pause(50 * time.Millisecond)
		}
	})
	sysctls(t, r.lab.Server, map[string]string{"tcp_sack": "0"})
	r.kill()
	for _, c := range clients {
		c.expectReset()
	}
	r.waitOutput("net.ipv4.tcp_sack")
	r.recovered()
	for i, c := range r.clients(3) {
		c.echo(fmt.Sprint("the next ", i))
	}
}
