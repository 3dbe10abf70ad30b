package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// makeAgain deletes the link between client and server, and makes one like it, which has
// another index at the server.
func (r *rig) makeAgain() {
	r.t.Helper()
	shell(r.t, r.lab.Server, "ip link del s0\nip link add s0 index 77 type veth peer name c0")
	shell(r.t, r.lab.Server, "ip link set c0 netns "+r.lab.Client.Name())
	shell(r.t, r.lab.Client, "ip addr add 10.77.0.1/24 dev c0\nip -6 addr add fd77::1/64 dev c0 nodad\nip link set c0 up")
	shell(r.t, r.lab.Server, "ip addr add 10.77.0.2/24 dev s0\nip -6 addr add fd77::2/64 dev s0 nodad\nip link set s0 up")
}

// burst is more news of interfaces than a socket keeps.
func (r *rig) burst() {
	r.t.Helper()
	const n = 1000
	cmd := r.lab.Server.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader("link add burst type bridge\n" + strings.Repeat("link set burst up\nlink set burst down\n", n) + "link del burst\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

// TestLinkMadeAgain: a link that is deleted and made again, while the engine has no time to
// hear of it and is told of more than it keeps, has the gate, and a connection goes on by it,
// protected.
func TestLinkMadeAgain(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			m.spawn(r)
			c := r.dial()
			c.echo("hello")
			r.protects(1)
			r.signal(syscall.SIGSTOP)
			r.burst()
			r.makeAgain()
			r.signal(syscall.SIGCONT)
			r.waitOutput("interface is protected: interface=s0")
			c.echo("by another interface")
			second := r.dial()
			second.echo("hello")
			r.protects(2)
			r.crash()
			c.echo("recovered")
			second.echo("recovered")
		})
	}
}
