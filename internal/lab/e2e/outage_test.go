package e2e

import (
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// dialKeepalive dials as a client that probes each second, and gives up after
// three probes without an answer.
func (r *rig) dialKeepalive() *client {
	r.t.Helper()
	c := r.dial()
	if err := c.Conn.(*net.TCPConn).SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func TestIdleOutage(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	idle, keepalive := r.dial(), r.dialKeepalive()
	idle.echo("before")
	keepalive.echo("before")
	closeGate(t, gate)
	r.kill()
	// The length of the outage is what is tested: it outlasts every probe.
	pause(30 * time.Second)
	openGate(t, gate)
	idle.echo("after")
	keepalive.echo("after")
}

func TestSYNInOutageIsAnswered(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{}, "-gate", gate)
	closeGate(t, gate)
	r.kill()
	r.waitStatus("the outage is declared", func(d *status.Document) bool {
		return len(d.Services) == 1 && d.Services[0].State == status.ServiceOutage
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { r.dial().echo("hello") })
	}
	r.waitStatus("SYNs are held", func(d *status.Document) bool { return d.Gate.Reasons["syn_held"] >= 20 })
	openGate(t, gate)
	wg.Wait()
}
