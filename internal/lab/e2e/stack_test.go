package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// Bits of TCP_INFO's options.
const (
	optTimestamps = 1 << iota
	optSACK
	optScaling
	optECN
)

// negotiated asks the server what its kernel negotiated with c.
func (c *client) negotiated() string {
	c.t.Helper()
	c.send("stack")
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// TestStacks: whatever a client's stack and the server's agree on, or do not,
// is what they agree on after a crash, too.
func TestStacks(t *testing.T) {
	t.Parallel()
	const all = optTimestamps | optSACK | optScaling
	for _, test := range []struct {
		name           string
		client, server map[string]string // below /proc/sys/net/ipv4
		want           int
	}{
		{"usual", nil, nil, all},
		{"client without timestamps", map[string]string{"tcp_timestamps": "0"}, nil, all &^ optTimestamps},
		{"client without SACK", map[string]string{"tcp_sack": "0"}, nil, all &^ optSACK},
		{"client without scaling", map[string]string{"tcp_window_scaling": "0"}, nil, all &^ optScaling},
		{"client without anything", map[string]string{"tcp_timestamps": "0", "tcp_sack": "0", "tcp_window_scaling": "0"}, nil, 0},
		{"server without timestamps", nil, map[string]string{"tcp_timestamps": "0"}, all &^ optTimestamps},
		{"server without anything", nil, map[string]string{"tcp_timestamps": "0", "tcp_sack": "0", "tcp_window_scaling": "0"}, 0},
		{"ECN", map[string]string{"tcp_ecn": "1"}, map[string]string{"tcp_ecn": "1"}, all | optECN},
		{"client asks for ECN", map[string]string{"tcp_ecn": "1"}, map[string]string{"tcp_ecn": "0"}, all},
		{"random timestamps off", nil, map[string]string{"tcp_timestamps": "2"}, all},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			sysctls(t, r.lab.Client, test.client)
			sysctls(t, r.lab.Server, test.server)
			r.spawn(options{}, "probe", "-listen", ":7002")
			negotiated := r.keepsOptions()
			if want := fmt.Sprintf("options=%d ", test.want); !strings.HasPrefix(negotiated, want) {
				t.Errorf("negotiated %q, want %q", negotiated, want)
			}
		})
	}
}

// keepsOptions has clients talk through crashes and returns what was negotiated,
// which must be the same before and after.
func (r *rig) keepsOptions() string {
	r.t.Helper()
	clients := r.clients(3)
	before := clients[0].negotiated()
	r.chatter(clients, func() {
		for range 4 {
			pause(30 * time.Millisecond)
			r.crash()
		}
	})
	if after := clients[0].negotiated(); after != before {
		r.t.Errorf("negotiated %q, after the crashes %q", before, after)
	}
	return before
}

func sysctls(t *testing.T, ns *netlab.Namespace, settings map[string]string) {
	t.Helper()
	for name, value := range settings {
		if err := ns.Sysctl("ipv4/"+name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStackChanges: the server's stack is set otherwise between two crashes.
// Window scale and buffers are ftnet's to translate.
func TestStackChanges(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	clients := []*client{r.dial(), r.dial(), r.dial()}
	before := clients[0].negotiated()
	r.chatter(clients, func() {
		for _, rmem := range []string{"4096 1000000 64000000", "4096 16384 65535", "4096 131072 6291456"} {
			sysctls(t, r.lab.Server, map[string]string{"tcp_rmem": rmem})
			r.crash()
			pause(50 * time.Millisecond)
		}
	})
	if after := clients[0].negotiated(); after != before {
		t.Errorf("negotiated %q, after the changes %q", before, after)
	}
}

// TestStackChangesTooMuch: what the client was promised in its handshake the
// new stack must promise, too; else the connection is reset and the log says why.
func TestStackChangesTooMuch(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tcp_timestamps", "tcp_sack", "tcp_window_scaling"} {
		t.Run(name, func(t *testing.T) {
			r := probe(t, options{})
			c := r.dial()
			c.echo("before")
			sysctls(t, r.lab.Server, map[string]string{name: "0"})
			r.kill()
			c.expectReset()
			r.waitOutput("net.ipv4." + name)
			r.recovered()
			r.dial().echo("the next")
		})
	}
}
