package e2e

import (
	"fmt"
	"strconv"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// place is a network in which a server may stand.
type place struct {
	name string
	// arrange makes it of a lab, before ftnet is started.
	arrange func(r *rig) site
	// unprotected says that status may call the connections there so.
	unprotected bool
}

// site is how clients get there.
type site struct {
	address func(f family) string
	link    string // of the client, where a capture sees all
}

// direct is the site of a lab whose addresses are what they were.
var direct = site{func(f family) string { return f.address(7000) }, netlab.ClientLink}

// places: server and client are hosts of their own in all of them.
var places = []place{
	{name: "bridge", arrange: on("br0", `
		ip link add br0 type bridge
		ip link set s0 master br0`)},
	{name: "macvlan", arrange: on("mv0", `ip link add mv0 link s0 type macvlan mode bridge`)},
	{name: "vxlan", arrange: vxlan},
	{name: "tun", arrange: tunnel},
	{name: "masquerade", arrange: routed(`
		nft -f - <<-'END'
			table inet nat {
				chain postrouting {
					type nat hook postrouting priority srcnat
					oifname "rs" masquerade
				}
			}
		END`, "", 0)},
	{name: "dnat", arrange: routed(`
		nft -f - <<-'END'
			table inet nat {
				chain prerouting {
					type nat hook prerouting priority dstnat
					iifname "rc" ip protocol tcp tcp dport 80 dnat ip to 10.78.2.2:7000
					iifname "rc" ip6 nexthdr tcp tcp dport 80 dnat ip6 to [fd78:2::2]:7000
				}
			}
		END`, "", dnatPort)},
	{name: "source routing", arrange: routed("", `
		ip route del default; ip -6 route del default
		ip route add default via 10.78.2.254 table 100; ip rule add from 10.78.2.2 lookup 100
		ip -6 route add default via fd78:2::fe table 100; ip -6 rule add from fd78:2::2 lookup 100`, 0)},
	{name: "mark routing", arrange: routed("", `
		for f in -4 -6; do ip $f rule add fwmark 0x1/0x1 lookup 100; ip $f route add local default dev lo table 100; done`, 0)},
	{name: "Debian", arrange: ruled(`
		chain input {
			type filter hook input priority filter; policy drop
			iif lo accept
			ct state established,related accept
			meta l4proto { icmp, icmpv6 } accept
			tcp dport 7000 ct state new accept
		}`)},
	{name: "Arch", arrange: ruled(`
		chain input {
			type filter hook input priority filter; policy drop
			ct state invalid drop
			ct state { established, related } accept
			iif lo accept
			meta l4proto { icmp, icmpv6 } accept
			tcp dport 7000 accept
			meta pkttype host limit rate 5/second counter reject with icmpx type admin-prohibited
		}
		chain forward { type filter hook forward priority filter; policy drop; }`)},
	{name: "ufw", arrange: ruled(`
		chain input {
			type filter hook input priority filter; policy drop
			iif lo accept
			ct state related,established accept
			ct state invalid drop
			meta l4proto { icmp, icmpv6 } accept
			fib daddr type != { local, multicast, broadcast } drop
			tcp dport 7000 accept
		}
		chain forward { type filter hook forward priority filter; policy drop; }
		chain output {
			type filter hook output priority filter; policy accept
			oif lo accept
			ct state related,established accept
		}`)},
	{name: "firewalld", arrange: ruled(`
		chain prerouting {
			type filter hook prerouting priority filter + 10
			icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
			meta nfproto ipv6 fib saddr . mark . iif oif missing drop
		}
		chain input {
			type filter hook input priority filter + 10; policy accept
			ct state { established, related } accept
			ct status dnat accept
			iifname "lo" accept
			ct state invalid drop
			meta l4proto { icmp, icmpv6 } accept
			tcp dport 7000 ct state { new, untracked } accept
			reject with icmpx admin-prohibited
		}
		chain output {
			type filter hook output priority filter + 10; policy accept
			ct state { established, related } accept
			oifname "lo" accept
		}`)},
	{name: "closed output", arrange: ruled(`
		chain input {
			type filter hook input priority filter; policy drop
			ct state invalid drop
			ct state established,related accept
			ip saddr 127.0.0.0/8 iifname lo accept
			meta l4proto { icmp, icmpv6 } accept
			tcp dport 7000 accept
		}
		chain output {
			type filter hook output priority filter; policy drop
			ct state invalid drop
			ct state established,related accept
			ip daddr 127.0.0.0/8 oifname lo accept
			meta l4proto { icmp, icmpv6 } accept
		}`)},
	{name: "docker", arrange: docker},
	{name: "connection marks", arrange: ruled(`
		chain restore {
			type filter hook prerouting priority mangle
			ct mark != 0 meta mark set ct mark
		}
		chain save {
			type route hook output priority mangle
			meta mark != 0 ct mark set meta mark
			ct mark != 0 meta mark set ct mark
		}`)},
}

// dnatPort is the port that the place with DNAT has for its clients.
const dnatPort = 80

// on gives the server's addresses to another device, which the script makes.
func on(device, script string) func(r *rig) site {
	return func(r *rig) site {
		shell(r.t, r.lab.Server, script+`
			ip addr flush dev s0 scope global
			ip addr add 10.77.0.2/24 dev `+device+`
			ip addr add fd77::2/64 dev `+device+` nodad
			ip link set `+device+` up`)
		return direct
	}
}

// ruled gives the server a rule set of netfilter.
func ruled(chains string) func(r *rig) site {
	return func(r *rig) site {
		ruleset(r.t, r.lab.Server, "table inet filter {\n"+chains+"\n}")
		return direct
	}
}

// routed puts a router between client and server and runs scripts in both. Clients
// dial the router if it has a port for them.
func routed(router, server string, port int) func(r *rig) site {
	return func(r *rig) site {
		between, err := r.lab.Add("router")
		if err != nil {
			r.t.Fatal(err)
		}
		shell(r.t, r.lab.Client, "ip link del c0")
		shell(r.t, between, fmt.Sprintf(`
			ip link add rc index 20 type veth peer name c0 netns %s
			ip link add rs index 21 type veth peer name s0 netns %s
			ip addr add 10.78.1.254/24 dev rc; ip addr add fd78:1::fe/64 dev rc nodad; ip link set rc up
			ip addr add 10.78.2.254/24 dev rs; ip addr add fd78:2::fe/64 dev rs nodad; ip link set rs up
			echo 1 >/proc/sys/net/ipv4/ip_forward
			echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
			%s`, r.lab.Client.Name(), r.lab.Server.Name(), router))
		shell(r.t, r.lab.Client, `
			ip addr add 10.78.1.1/24 dev c0; ip addr add fd78:1::1/64 dev c0 nodad; ip link set c0 up
			ip route add default via 10.78.1.254; ip -6 route add default via fd78:1::fe`)
		shell(r.t, r.lab.Server, `
			ip addr add 10.78.2.2/24 dev s0; ip addr add fd78:2::2/64 dev s0 nodad; ip link set s0 up
			ip route add default via 10.78.2.254; ip -6 route add default via fd78:2::fe
			`+server)
		hosts := map[string]string{"ipv4": "10.78.2.2:7000", "ipv6": "[fd78:2::2]:7000"}
		if port != 0 {
			hosts = map[string]string{"ipv4": "10.78.1.254:", "ipv6": "[fd78:1::fe]:"}
			for name := range hosts {
				hosts[name] += strconv.Itoa(port)
			}
		}
		return site{func(f family) string { return hosts[f.name] }, netlab.ClientLink}
	}
}

// vxlan puts the lab's addresses on a tunnel over its link.
func vxlan(r *rig) site {
	for _, h := range []struct {
		ns                   *netlab.Namespace
		link, own, other, at string
	}{
		{r.lab.Client, "c0", "10.99.0.1", "10.99.0.2", "1"}, {r.lab.Server, "s0", "10.99.0.2", "10.99.0.1", "2"},
	} {
		shell(r.t, h.ns, fmt.Sprintf(`
			ip addr flush dev %[1]s scope global
			ip addr add %[2]s/24 dev %[1]s
			ip link add vx0 type vxlan id 5 dstport 4789 local %[2]s remote %[3]s dev %[1]s
			ip addr add 10.77.0.%[4]s/24 dev vx0; ip addr add fd77::%[4]s/64 dev vx0 nodad
			ip link set vx0 up`, h.link, h.own, h.other, h.at))
	}
	return site{direct.address, "vx0"}
}

// docker makes the client a container on the server's docker0.
func docker(r *rig) site {
	site := on("docker0", `
		ip link add docker0 type bridge
		ip link set s0 master docker0
		echo 1 >/proc/sys/net/ipv4/ip_forward`)(r)
	shell(r.t, r.lab.Server, `nft -f - <<-'END'
		table ip nat {
			chain DOCKER { iifname "docker0" return; tcp dport 8080 dnat to 10.77.0.9:80; }
			chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
			chain output { type nat hook output priority -100; ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER; }
			chain postrouting { type nat hook postrouting priority srcnat; ip saddr 10.77.0.0/24 oifname != "docker0" masquerade; }
		}
		table ip filter {
			chain forward {
				type filter hook forward priority filter; policy drop
				oifname "docker0" ct state related,established accept
				iifname "docker0" accept
			}
		}
	END`)
	return site
}
