package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// TestTrialAcceptsNobody: clients dial one after the other while handshakes are tried. The
// server accepts each of them and nobody else, whatever its queues are like; each is
// answered at once.
func TestTrialAcceptsNobody(t *testing.T) {
	for _, queue := range []struct {
		name, length string
		args         []string
	}{
		{"long", "4096", nil}, {"deferred", "4096", []string{"-defer", "30"}}, {"of 1", "1", nil},
	} {
		for _, m := range probes(t) {
			t.Run(queue.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				seen := r.capture()
				r.sysctl("core/somaxconn", queue.length) // nobody can listen with a longer one
				r.meetNeighbours()
				m.args = append(append(m.args[:len(m.args):len(m.args)], queue.args...), "-tell")
				m.spawn(r)
				clients := 0
				meanwhile(1, func(int, int) {
					c := r.dial()
					c.echo("hello")
					c.Close()
					clients++
					pause(time.Millisecond) // the capture has to follow
				}, func() {
					for _, network := range []string{"tcp4", "tcp6"} {
						r.handshake("lo", network, true)
						r.handshake("s0", network, true)
					}
					ruleset(t, r.lab.Server, "add table inet anew") // has all be tried again
					r.triedAnew(4)
				})
				if n := r.countOutput(" serves ", clients); n != clients {
					t.Errorf("the server has accepted %d, of %d clients", n, clients)
				}
				d := r.waitStatus("all clients have gone", func(d *status.Document) bool { return len(d.Connections) == 0 })
				if n := d.Services[0].Accepted; n != uint64(clients) {
					t.Errorf("status says that %d were accepted, of %d clients", n, clients)
				}
				seen.onlyClients(r, clients)
				r.nothingHalfOpen()
			})
		}
	}
}

// triedAnew waits until n handshakes have been tried after a change of rule sets.
func (r *rig) triedAnew(n int) {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		s, more := r.out.next()
		if _, after, ok := strings.Cut(s, "trial handshakes are repeated"); ok && strings.Count(after, "trial handshake finished") >= n {
			return
		}
		select {
		case <-more:
		case <-limit:
			r.t.Fatal("handshakes were not tried anew")
		}
	}
}

// TestTrialOneAddress: a listener that takes one address only, or one family. Where it
// does not listen no trial is made; and what was unanswered at an address is
// forgotten with it.
func TestTrialOneAddress(t *testing.T) {
	for _, tt := range []struct{ listen, tried, drop, left string }{
		{"10.77.0.2:7002", "s0 tcp4", "10.77.0.2/24", ""},
		{"[fd77::2]:7002", "s0 tcp6", "fd77::2/64", ""},
		{"127.0.0.1:7002", "lo tcp4", "10.77.0.2/24", "lo tcp4"},
		{":7002", "lo tcp4 lo tcp6 s0 tcp4 s0 tcp6", "10.77.0.2/24", "lo tcp4 lo tcp6 s0 tcp6"},
	} {
		for _, m := range probes(t) {
			t.Run(tt.listen+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				ruleset(t, r.lab.Server, r.onlyClient())
				r.meetNeighbours()
				m.args = append(m.args[:len(m.args):len(m.args)], "-listen", tt.listen)
				m.spawn(r)
				r.tried(tt.tried)
				shell(t, r.lab.Server, "ip addr del "+tt.drop+" dev s0")
				r.tried(tt.left)
			})
		}
	}
}

// tried waits until the handshakes that were tried in vain are these, and no other was tried.
func (r *rig) tried(want string) {
	r.t.Helper()
	r.waitStatus(fmt.Sprintf("handshakes are unanswered at %q alone", want), func(d *status.Document) bool {
		var list []string
		for _, s := range d.Services {
			for _, h := range s.Handshakes {
				if h.Answered {
					r.t.Fatalf("%+v", h)
				}
				list = append(list, h.Interface+" "+h.Network)
			}
		}
		return strings.Join(list, " ") == want
	})
}
