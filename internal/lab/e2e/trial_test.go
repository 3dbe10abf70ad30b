package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ftnet/ftnet/internal/lab/netlab/capture"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/status"
)

// onlyClient is a rule set that lets in what has the client's link-layer address, and
// nothing from loopback: what is sent in the client's name has another one.
func (r *rig) onlyClient() string {
	r.t.Helper()
	return `table inet filter {
	chain input {
		type filter hook input priority 0; policy drop
		meta l4proto { icmp, icmpv6 } accept
		iifname "s0" ether saddr ` + r.clientMAC() + ` accept
	}
}
`
}

func (r *rig) clientMAC() (mac string) {
	r.t.Helper()
	err := r.lab.Client.Run(func() error {
		link, err := netlink.LinkByName("c0")
		if err == nil {
			mac = link.Attrs().HardwareAddr.String()
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return mac
}

// meetNeighbours has the server's host know the client's.
func (r *rig) meetNeighbours() {
	r.t.Helper()
	mac := r.clientMAC()
	shell(r.t, r.lab.Server, "ip neigh replace 10.77.0.1 lladdr "+mac+" dev s0\nip neigh replace fd77::1 lladdr "+mac+" dev s0")
}

// handshake waits until a handshake at an interface was tried, with that result.
func (r *rig) handshake(link, network string, answered bool) (found status.Handshake) {
	r.t.Helper()
	r.waitStatus(fmt.Sprintf("a handshake by %s over %s is answered: %v", link, network, answered), func(d *status.Document) bool {
		for _, s := range d.Services {
			for _, h := range s.Handshakes {
				if h.Interface == link && h.Network == network && h.Answered == answered {
					found = h
					return true
				}
			}
		}
		return false
	})
	return found
}

const (
	unanswered    = "no SYN-ACK for trial handshakes"
	answeredAgain = "trial handshakes are answered again"
)

// TestTrialUnanswered: a rule set that lets clients in, but not what is sent in their names. It is
// found when the server starts, said once for each interface and address family; a
// connection is not protected, with that reason; and when the rule set has gone it is.
func TestTrialUnanswered(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			ruleset(t, r.lab.Server, r.onlyClient())
			r.meetNeighbours()
			m.spawn(r)
			for _, network := range []string{"tcp4", "tcp6"} {
				if h := r.handshake("s0", network, false); !strings.Contains(h.Reason, "was not answered") {
					t.Errorf("%+v", h)
				}
			}
			var clients []*client
			for _, f := range families[:2] {
				c := r.dialTo(f.dial(r), f.address(7002))
				c.echo("hello")
				clients = append(clients, c)
			}
			for _, c := range r.unprotected(reason.SYNsDropped, len(clients)) {
				if !strings.Contains(c.Reason, "a SYN from ") {
					t.Errorf("%s", c.Reason)
				}
			}
			if n := r.countOutput(unanswered, 4); n != 4 { // and by loopback
				t.Errorf("said %d times that handshakes are not answered", n)
			}
			shell(t, r.lab.Server, "nft delete table inet filter")
			r.waitCount(answeredAgain, 4)
			r.protects(len(clients))
			r.crash()
			for _, c := range clients {
				c.echo("recovered")
			}
		})
	}
}

// TestTrialUnansweredLater: a rule set that comes when a server has served for long.
func TestTrialUnansweredLater(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			m.spawn(r)
			c := r.dial()
			c.echo("hello")
			r.handshake("s0", "tcp4", true)
			r.protects(1)
			ruleset(t, r.lab.Server, r.onlyClient())
			if h := r.handshake("s0", "tcp4", false); !strings.Contains(h.Reason, "from 10.77.0.1 to 10.77.0.2") {
				t.Errorf("%+v: not in the client's name", h)
			}
			r.unprotected(reason.SYNsDropped, 1)
			c.echo("still here")
		})
	}
}

// TestRejected: a rule that answers what is sent in a client's name by a RST or an ICMP
// error. The client hears of neither.
func TestRejected(t *testing.T) {
	for _, how := range []struct{ statement, why string }{
		{"reject with tcp reset", "was refused"}, {"reject with icmpx port-unreachable", "was not answered"},
	} {
		t.Run(how.statement, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			seen := r.capture()
			ruleset(t, r.lab.Server, strings.Replace(r.onlyClient(), "ether saddr", "ether saddr != 00:00:00:00:00:00 ether saddr", 1)+
				"add rule inet filter input tcp dport 7002 "+how.statement)
			r.meetNeighbours()
			probes(t)[0].spawn(r)
			for _, network := range []string{"tcp4", "tcp6"} {
				if h := r.handshake("s0", network, false); !strings.Contains(h.Reason, how.why) {
					t.Errorf("%+v", h)
				}
			}
			r.dial().echo("hello")
			r.unprotected(reason.SYNsDropped, 1)
			seen.onlyClients(r, 1)
		})
	}
}

// TestTrialUnseen: what is tried reaches neither server nor network, with the rule sets
// that are usual: the server accepts its clients and nobody else, and no packet leaves
// that is not of theirs.
func TestTrialUnseen(t *testing.T) {
	for _, rules := range []struct{ name, text string }{
		{"no rules", ""}, {"usual", usual("iifname lo accept")}, {"nothing from loopback", usual("")},
	} {
		for _, m := range probes(t) {
			t.Run(rules.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				seen := r.capture()
				if rules.text != "" {
					ruleset(t, r.lab.Server, rules.text)
				}
				r.meetNeighbours()
				m.spawn(r)
				for _, network := range []string{"tcp4", "tcp6"} {
					r.handshake("s0", network, true)
				}
				c := r.dial()
				c.echo("hello")
				ruleset(t, r.lab.Server, "add table inet anew") // has all be tried again
				r.waitCount("trial handshakes are repeated", 1)
				r.protects(1)
				r.crash()
				c.echo("recovered")
				seen.onlyClients(r, 1)
				r.nothingHalfOpen()
			})
		}
	}
}

// clientCapture is what the client's host sees.
type clientCapture struct {
	*capture.Capture
	file string
}

func (r *rig) capture() *clientCapture {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "client.pcapng")
	c, err := capture.Start(r.lab.Client, "c0", file, 128)
	if err != nil {
		r.t.Fatal(err)
	}
	return &clientCapture{c, file}
}

// onlyClients checks that n clients have dialled, that each was answered at once, and that
// the server's host has sent to nobody else.
func (c *clientCapture) onlyClients(r *rig, n int) {
	r.t.Helper()
	if stats, err := c.Stop(); err != nil || stats.Lost > 0 {
		r.t.Fatalf("the capture is incomplete: %+v, %v", stats, err)
	}
	for range capture.Unreachable(c.file) {
		r.t.Error("an ICMP error reached the client")
	}
	dialled, reached := map[netip.AddrPort]int{}, map[netip.AddrPort]bool{}
	for s, err := range capture.Segments(c.file, netip.Addr{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		if s.Src.Port() == 7002 {
			reached[s.Dst] = true
		} else if s.Flags&(segment.SYN|segment.ACK) == segment.SYN {
			if dialled[s.Src]++; dialled[s.Src] == 2 {
				r.t.Errorf("the first SYN of %v was not answered", s.Src)
			}
		}
	}
	if len(dialled) != n {
		r.t.Errorf("%d clients have dialled", len(dialled))
	}
	for to := range reached {
		if dialled[to] == 0 {
			r.t.Errorf("the server's host has sent to %v, which is no client", to)
		}
	}
}

// nothingHalfOpen checks that the kernel keeps no half-open connection, and waits for
// one that may be under trial.
func (r *rig) nothingHalfOpen() {
	r.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		out, err := r.lab.Server.Command("ss", "-Htn", "state", "syn-recv").CombinedOutput()
		if err == nil && len(strings.TrimSpace(string(out))) == 0 {
			return
		}
		select {
		case <-limit:
			r.t.Fatalf("half-open: %s, %v", out, err)
		case <-time.After(statusPoll):
		}
	}
}

// TestTrialUnansweredUngated: that no connection by an interface can be recovered stays true while the
// gate is taken off it.
func TestTrialUnansweredUngated(t *testing.T) {
	t.Parallel()
	r := prepare(t, options{})
	ruleset(t, r.lab.Server, r.onlyClient())
	r.meetNeighbours()
	probes(t)[0].spawn(r)
	r.handshake("s0", "tcp4", false)
	c := r.dial()
	c.echo("hello")
	r.unprotected(reason.SYNsDropped, 1)
	stop := r.takeAway()
	r.waitStatus("the interface is not protected", func(d *status.Document) bool {
		return fmt.Sprint(d.Engine.Interfaces) == "[lo]"
	})
	ruleset(t, r.lab.Server, "add table inet anew") // has entrances be looked for, and tried
	r.waitOutput("trial handshakes are repeated")
	tried := strings.Count(r.out.String(), triedByLoopback)
	r.waitCount(triedByLoopback, tried+1)
	stop()
	d := r.waitStatus("the gate is there again", func(d *status.Document) bool {
		return fmt.Sprint(d.Engine.Interfaces) == "[lo s0]" && !strings.HasPrefix(d.Connections[0].Reason, string(reason.Ungated))
	})
	if c := d.Connections[0]; !strings.HasPrefix(c.Reason, string(reason.SYNsDropped)) {
		t.Errorf("%+v", c)
	}
}

const triedByLoopback = "trial handshake finished: port=7002 interface=lo network=tcp4"
