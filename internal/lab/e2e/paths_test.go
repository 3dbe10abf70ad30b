package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/status"
)

// shell runs commands in a namespace, one a line.
func shell(t testing.TB, ns *netlab.Namespace, commands string) {
	t.Helper()
	if out, err := ns.Command("sh", "-e", "-c", commands).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, commands)
	}
}

// ruleset loads an nftables rule set.
func ruleset(t testing.TB, ns *netlab.Namespace, text string) {
	t.Helper()
	cmd := ns.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, text)
	}
}

// both is a command for each address family.
func both(commands ...string) string {
	var list []string
	for _, c := range commands {
		list = append(list, "ip "+c, "ip -6 "+c)
	}
	return strings.Join(list, "\n")
}

// usual is an input chain as the handbooks have it. lo is what it says of loopback.
func usual(lo string) string {
	return `table inet filter {
	chain input {
		type filter hook input priority 0; policy drop
		ct state invalid drop
		ct state established,related accept
		` + lo + `
		meta l4proto { icmp, icmpv6 } accept
		tcp dport 7002 accept
	}
}
`
}

// environments are what a server's host may have besides the server.
var environments = []struct {
	name, commands, rules string
}{
	{name: "source routing", commands: `
ip route del 10.77.0.0/24 dev s0
ip route add 10.77.0.0/24 dev s0 table 100
ip rule add from 10.77.0.2 lookup 100
ip -6 route del fd77::/64 dev s0
ip -6 route add fd77::/64 dev s0 table 100
ip -6 rule add from fd77::2 lookup 100`},
	{name: "routing by mark", commands: both("rule add fwmark 0x1/0x1 lookup 100", "route add local default dev lo table 100")},
	{name: "server's mark routes", commands: `
ip link add d0 type veth peer name d1
ip link set d1 up
ip link set d0 up
ip route del 10.77.0.0/24 dev s0
ip route add 10.77.0.0/24 dev d0
ip route add 10.77.0.0/24 dev s0 table 100
ip -6 route del fd77::/64 dev s0
ip -6 route add fd77::/64 dev d0
ip -6 route add fd77::/64 dev s0 table 100
` + both("rule add fwmark 0x10 lookup 100"), rules: `table inet m {
	chain o { type route hook output priority mangle; tcp sport 7002 meta mark set 0x10; }
}`},
	{name: "conntrack", rules: usual("iifname lo accept")},
	{name: "nothing from loopback", rules: usual("")},
	{name: "output policy", rules: usual("iifname lo ip saddr 127.0.0.0/8 accept") + `table inet filter {
	chain output {
		type filter hook output priority 0; policy drop
		ct state invalid drop
		ct state established,related accept
		oifname lo ip daddr 127.0.0.0/8 accept
		meta l4proto icmpv6 accept
	}
}`},
	{name: "connection marks", rules: `table inet m {
	chain o { type route hook output priority mangle; meta mark != 0 ct mark set meta mark; ct mark != 0 meta mark set ct mark; }
	chain i { type filter hook prerouting priority mangle; meta mark != 0 ct mark set meta mark; ct mark != 0 meta mark set ct mark; }
}`},
	{name: "strict reverse path", commands: "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.s0.rp_filter=1 net.ipv4.conf.lo.rp_filter=1"},
	{name: "loopback down", commands: "ip link set lo down"},
}

// TestPaths: what the engine sends takes the ways of the connection's own packets,
// whatever the host's routes and rule sets are.
func TestPaths(t *testing.T) {
	for _, env := range environments {
		for _, m := range probes(t) {
			t.Run(env.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				if env.rules != "" {
					ruleset(t, r.lab.Server, env.rules)
				}
				shell(t, r.lab.Server, env.commands)
				m.spawn(r)
				var clients []*client
				for i, f := range families[:2] {
					for range 3 {
						c := r.dialTo(f.dial(r), f.address(7002))
						c.echo(fmt.Sprint("hello ", i))
						clients = append(clients, c)
					}
				}
				r.survives(clients, strings.Contains(env.rules, "hook output priority 0; policy drop"))
			})
		}
	}
}

// survives kills the server three times under the clients. Nothing that the engine
// sends fails, unless a rule set refuses what goes by loopback: a SYN that is not
// answered twice goes there.
func (r *rig) survives(clients []*client, refuses bool) {
	r.t.Helper()
	r.chatter(clients, func() {
		for range 3 {
			r.crash()
		}
	})
	for i, c := range clients {
		c.echo(fmt.Sprint("after ", i))
	}
	d := r.waitStatus("the gate's counters are there", func(d *status.Document) bool { return len(d.Gate.Reasons) > 0 })
	for _, reason := range []string{"send_errors", "misrouted", "rewrite_failed"} {
		if reason == "send_errors" && refuses {
			continue
		}
		if n := d.Gate.Reasons[reason]; n != 0 {
			r.t.Errorf("%s: %d", reason, n)
		}
	}
}

// TestPathsTranslatedByLoopback: the spoofed SYNs by the client's interface are lost at
// first, so that one goes by loopback, where its source is translated, as Docker's
// masquerading does. What connection tracking remembers of that does not harm the next.
func TestPathsTranslatedByLoopback(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			m.spawn(r)
			c := r.dial()
			c.echo("hello")
			// Of this connection alone: a new rule set has the engine try handshakes, too.
			ruleset(t, r.lab.Server, fmt.Sprintf(`
table ip nat {
	chain post { type nat hook postrouting priority srcnat; ip saddr 10.77.0.1 counter masquerade; }
}
table ip late {
	chain pre { type filter hook prerouting priority raw; iifname s0 tcp sport %d tcp dport 7002 tcp flags & (syn | ack) == syn quota until 200 bytes drop; }
}`, c.LocalAddr().(*net.TCPAddr).Port))
			r.crash()
			c.echo("recovered")
			out, err := r.lab.Server.Command("nft", "list", "table", "ip", "nat").CombinedOutput()
			if err != nil || strings.Contains(string(out), "packets 0 ") {
				t.Errorf("%v: nothing was translated:\n%s", err, out)
			}
		})
	}
}

// TestPathsLinkLocal: clients that know the server by its link-local address.
func TestPathsLinkLocal(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			m.spawn(r)
			address := net.JoinHostPort(linkLocal(t, r.lab.Server, netlab.ServerLink).WithZone(netlab.ClientLink).String(), "7002")
			r.routed(address)
			var clients []*client
			for i := range 3 {
				c := r.dialTo(fromClient(r), address)
				c.echo(fmt.Sprint("hello ", i))
				clients = append(clients, c)
			}
			r.survives(clients, false)
		})
	}
}

// routed waits until the client has a route to an address: the kernel makes that of a
// link's own network in the background, when the link has a carrier.
func (r *rig) routed(address string) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(statusPoll) {
		c, err := r.lab.Client.Dial("udp", address) // sends nothing
		if err == nil {
			c.Close()
			return
		}
		if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EADDRNOTAVAIL) || time.Now().After(deadline) {
			r.t.Fatal(err)
		}
	}
}

// linkLocal is the link-local address of a namespace's interface.
func linkLocal(t testing.TB, ns *netlab.Namespace, name string) (found netip.Addr) {
	t.Helper()
	if err := ns.Run(func() error {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		list, err := i.Addrs()
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				found = p.Addr()
			}
		}
		return err
	}); err != nil || !found.IsValid() {
		t.Fatalf("%s has no link-local address: %v", name, err)
	}
	return found
}

// TestPathsLocal: clients on the server's own host, where a rule set is strict.
func TestPathsLocal(t *testing.T) {
	for name, rules := range map[string]string{"no rules": "", "conntrack": usual("iifname lo accept")} {
		for _, m := range probes(t) {
			t.Run(name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				if rules != "" {
					ruleset(t, r.lab.Server, rules)
				}
				m.spawn(r)
				var clients []*client
				for i, address := range []string{"127.0.0.1", "::1", netlab.Server4.String(), netlab.Server6.String()} {
					c := r.dialTo(fromServer(r), net.JoinHostPort(address, "7002"))
					c.echo(fmt.Sprint("hello ", i))
					clients = append(clients, c)
				}
				r.survives(clients, false)
			})
		}
	}
}

// TestPathsTunnel: a device without Ethernet headers, where rules choose the route by the
// packet's source or mark.
func TestPathsTunnel(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			tunnel(r)
			shell(t, r.lab.Server, `
ip route del 10.77.0.0/24 dev tun0
ip route add 10.77.0.0/24 dev tun0 table 101
ip rule add from 10.77.0.2 lookup 101
ip -6 route del fd77::/64 dev tun0
ip -6 route add fd77::/64 dev tun0 table 101
ip -6 rule add from fd77::2 lookup 101
`+both("rule add fwmark 0x1/0x1 lookup 100", "route add local default dev lo table 100"))
			m.spawn(r)
			var clients []*client
			for i, f := range families[:2] {
				c := r.dialTo(f.dial(r), f.address(7002))
				c.echo(fmt.Sprint("hello ", i))
				clients = append(clients, c)
			}
			r.survives(clients, false)
		})
	}
}
