package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/capture"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

// Hosts behind the server's, whose clients TPROXY brings to its listener.
var (
	behind4 = netip.MustParseAddr("10.79.0.9")
	behind6 = netip.MustParseAddr("fd79::9")
)

// clientHops is the hop limit of what the client's own host sends.
const clientHops = 200

// intercepts puts a host behind the server's, which forwards what its rules do not take
// to a port of its own: TPROXY, as the kernel's documentation has it. Connections to
// dialled come to port 7002.
func (r *rig) intercepts(dialled int) (behind *netlab.Namespace) {
	r.t.Helper()
	behind, err := r.lab.Add("behind")
	if err != nil {
		r.t.Fatal(err)
	}
	shell(r.t, r.lab.Server, fmt.Sprintf(`
		echo 1 >/proc/sys/net/ipv4/ip_forward
		echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
		ip link add d0 index 20 type veth peer name b0 index 21 netns %s
		ip addr add 10.79.0.1/24 dev d0; ip addr add fd79::1/64 dev d0 nodad; ip link set d0 up`, behind.Name()))
	shell(r.t, behind, fmt.Sprintf(`
		ip addr add %s/24 dev b0; ip addr add %s/64 dev b0 nodad; ip link set b0 up
		ip route add default via 10.79.0.1; ip -6 route add default via fd79::1`, behind4, behind6))
	shell(r.t, r.lab.Client, fmt.Sprintf(`
		ip route add default via 10.77.0.2; ip -6 route add default via fd77::2
		echo %[1]d >/proc/sys/net/ipv4/ip_default_ttl; echo %[1]d >/proc/sys/net/ipv6/conf/c0/hop_limit`, clientHops))
	shell(r.t, r.lab.Server, both("rule add fwmark 0x1/0x1 lookup 100", "route add local default dev lo table 100"))
	ruleset(r.t, r.lab.Server, fmt.Sprintf(`table inet t {
		chain divert { type filter hook prerouting priority mangle; meta l4proto tcp socket transparent 1 meta mark set 1 accept; }
		chain p { type filter hook prerouting priority mangle + 1; iifname "s0" tcp dport %d tproxy to :7002 meta mark set 1 accept; }
	}`, dialled))
	return behind
}

// watchLinks watches what leaves by the server's links until the function is called that it
// returns: that checks that no packet was among it that somebody else has sent in a
// client's name.
func (r *rig) watchLinks() (check func()) {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "d0.pcapng")
	seen, err := capture.Start(r.lab.Server, "d0", file, 128)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _, _ = seen.Stop() })
	// In a capture at the client's link they could not be told from its own.
	ruleset(r.t, r.lab.Client, fmt.Sprintf(`table inet mirrored {
		chain p {
			type filter hook prerouting priority raw
			iifname "c0" ip saddr %s counter
			iifname "c0" ip6 saddr %s counter
		}
	}`, netlab.Client4, netlab.Client6))
	return func() {
		r.t.Helper()
		if stats, err := seen.Stop(); err != nil || stats.Lost > 0 {
			r.t.Fatalf("the capture is incomplete: %+v, %v", stats, err)
		}
		for s, err := range capture.Segments(file, netip.Addr{}) {
			if err != nil {
				r.t.Fatal(err)
			}
			// Between a crash and its news the rule set has the clients' own forwarded.
			limit := s.Data[8]
			if s.Data[0]>>4 == 6 {
				limit = s.Data[7]
			}
			if a := s.Src.Addr(); (a == netlab.Client4 || a == netlab.Client6) && limit != clientHops-1 {
				r.t.Errorf("packet %d, hop limit %d, has left for another host: %v", s.Number, limit, &s.Segment)
			}
		}
		out, err := r.lab.Client.Command("nft", "list", "table", "inet", "mirrored").CombinedOutput()
		if err != nil || strings.Count(string(out), "packets 0 ") != 2 {
			r.t.Errorf("packets in the client's own name have come to it: %v\n%s", err, out)
		}
	}
}

func transparent(m mode) mode {
	m.args = append(slices.Clip(m.args), "-transparent")
	return m
}

// TestTPROXY: clients of other hosts, whose connections TPROXY brings to a transparent
// listener, are protected like others, where the host forwards what it does not take; and
// nothing that the engine sends in their names leaves by any link of the host.
func TestTPROXY(t *testing.T) {
	for _, m := range probes(t) {
		for _, links := range []string{"all", "s0"} {
			t.Run(m.name+"/"+links, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				r.intercepts(7002)
				if links != "all" {
					m = m.with("--interface", links)
				}
				transparent(m).spawn(r)
				leaves := r.watchLinks()
				var clients []*client
				for i := range 3 {
					for _, a := range []netip.Addr{behind4, behind6, netlab.Server4} {
						c := r.dialTo(fromClient(r), netip.AddrPortFrom(a, 7002).String())
						c.echo(fmt.Sprint("hello ", i))
						clients = append(clients, c)
					}
				}
				r.waitStatus("all are protected", func(d *status.Document) bool {
					return len(d.Connections) == len(clients) && !slices.ContainsFunc(d.Connections,
						func(c status.Connection) bool { return c.Protection != status.Protected })
				})
				r.survives(clients, false)
				r.check(func(s *status.Service) bool { return len(s.Unprotected) == 0 })
				leaves()
			})
		}
	}
}

// TestTPROXYRefused: where a rule set drops the SYNs by which connections are recovered,
// the engine tries for as long as it may, and none of them leaves the host.
func TestTPROXYRefused(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			r.intercepts(7002)
			transparent(m).with("--interface", "s0").spawn(r)
			leaves := r.watchLinks()
			for _, a := range []netip.Addr{behind4, behind6} {
				r.dialTo(fromClient(r), netip.AddrPortFrom(a, 7002).String()).echo("hello")
			}
			ruleset(t, r.lab.Server, `table inet refuse {
				chain p { type filter hook prerouting priority raw; iifname "s0" tcp dport 7002 tcp flags & (syn|ack) == syn drop; }
			}`)
			r.kill()
			r.waitOutput("no SYN-ACK for spoofed handshakes")
			leaves()
		})
	}
}

// TestTPROXYOutage: a client that dials in an outage waits for the listener; no other
// host is asked in its place.
func TestTPROXYOutage(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			gate := filepath.Join(t.TempDir(), "gate")
			r := prepare(t, options{})
			r.intercepts(7002)
			m = transparent(m)
			m.args = append(m.args, "-gate", gate)
			m.spawn(r)
			r.dialTo(fromClient(r), netip.AddrPortFrom(behind4, 7002).String()).echo("before")
			closeGate(t, gate)
			r.kill()
			r.waitStatus("the outage is declared", func(d *status.Document) bool { return d.Services[0].State == status.ServiceOutage })
			leaves := r.watchLinks()
			dialled := make(chan *client, 2)
			for _, a := range []netip.Addr{behind4, behind6} {
				go func() {
					c, err := r.lab.Client.DialContext(t.Context(), "tcp", netip.AddrPortFrom(a, 7002).String())
					if err != nil {
						t.Error(err)
						dialled <- nil
						return
					}
					dialled <- r.talks(c)
				}()
			}
			r.waitStatus("their SYNs are held", func(d *status.Document) bool { return d.Gate.Reasons["syn_held"] >= 2 })
			openGate(t, gate)
			for range 2 {
				if c := <-dialled; c != nil {
					c.echo("after")
				}
			}
			leaves()
		})
	}
}

// TestTPROXYPort: connections to a port that is not protected, which TPROXY brings to a
// listener at one that is, are called unprotected at once, for their own reason. Those
// of another listener at that port are left alone.
func TestTPROXYPort(t *testing.T) {
	bothModes(t, func(t *testing.T, r *rig, run func(...string)) {
		r.intercepts(80)
		other, err := r.lab.Server.Listen("tcp", "127.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		run("-transparent")
		r.dialTo(fromServer(r), "127.0.0.1:80")
		direct := r.dial()
		direct.echo("direct")
		var others []*client
		for _, a := range []netip.Addr{behind4, behind6} {
			c := r.dialTo(fromClient(r), netip.AddrPortFrom(a, 80).String())
			c.echo("hello")
			others = append(others, c)
		}
		list := r.unprotected(reason.OtherPort, len(others))
		if len(list) != len(others) {
			t.Fatalf("%+v", list)
		}
		for _, c := range list {
			if !strings.HasSuffix(c.Reason, ":80") || c.Program == "" {
				t.Errorf("%+v does not say what was dialled, or whose it is", c)
			}
		}
		r.crash()
		direct.echo("recovered")
		for _, c := range others {
			c.expectLost()
		}
		r.unprotected(reason.OtherPort, len(others)) // once for all
	})
}
