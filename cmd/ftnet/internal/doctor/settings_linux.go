package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func timestamps(m Machine) []Result {
	const name = "TCP timestamps"
	if n, found := m.sysctl("net.ipv4.tcp_timestamps"); found && n == 0 {
		return finding(Warn, name, "off: old duplicates cannot be told from new segments (PAWS, RFC 7323)",
			"sysctl -w net.ipv4.tcp_timestamps=1")
	}
	return ok(name, "on")
}

// fastOpenServer is the bit of tcp_fastopen that lets servers take data in a SYN.
const fastOpenServer = 2

func fastOpen(m Machine) []Result {
	const name = "TCP Fast Open"
	if n, _ := m.sysctl("net.ipv4.tcp_fastopen"); n&fastOpenServer != 0 {
		return finding(Warn, name, "on for servers: the gate strips it on protected ports, clients use an ordinary handshake",
			"nothing, or clear bit 2 of net.ipv4.tcp_fastopen")
	}
	return ok(name, "off for servers")
}

// queues are what newcomers and recovered connections wait in while a server
// starts: all of them come at once then.
func queues(m Machine) []Result {
	const enough = 1024
	var results []Result
	for _, q := range []struct{ name, sysctl string }{
		{"accept queue", "net.core.somaxconn"},
		{"SYN queue", "net.ipv4.tcp_max_syn_backlog"},
	} {
		n, found := m.sysctl(q.sysctl)
		switch {
		case !found:
			results = append(results, ok(q.name, "%s is not visible here", q.sysctl)...)
		case n < enough:
			results = append(results, finding(Warn, q.name, fmt.Sprintf("%s is %d: more connections than that are recovered in turns", q.sysctl, n),
				fmt.Sprintf("sysctl -w %s=%d", q.sysctl, 4*enough))...)
		default:
			results = append(results, ok(q.name, "%s is %d", q.sysctl, n)...)
		}
	}
	return results
}

// reversePath is a note: people look for it when packets vanish. What the
// injector sends comes in over loopback with its route attached, so the filter
// does not apply.
func reversePath(m Machine) []Result {
	n, _ := m.sysctl("net.ipv4.conf.all.rp_filter")
	mode := map[int]string{0: "off", 1: "strict", 2: "loose"}[n]
	return ok("reverse-path filter", "%s (net.ipv4.conf.all.rp_filter=%d); it does not concern injected packets", mode, n)
}

// connectionTracking: to the tracker, a recovered connection is a second
// handshake on one that it knows.
func connectionTracking(m Machine) []Result {
	const name = "connection tracking"
	count, found := m.sysctl("net.netfilter.nf_conntrack_count")
	if !found || count == 0 {
		return ok(name, "tracks nothing here")
	}
	if liberal, _ := m.sysctl("net.netfilter.nf_conntrack_tcp_be_liberal"); liberal == 0 {
		return finding(Warn, name, "on and strict: it may call packets of recovered connections invalid, which many rule sets drop",
			"sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1, or exempt the service's port (notrack)")
	}
	return ok(name, "on, liberal")
}

func openFiles(Machine) []Result {
	const name, enough = "open files", 4096
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return finding(Warn, name, err.Error(), "")
	}
	if limit.Max < enough {
		return finding(Warn, name, fmt.Sprintf("at most %d", limit.Max), "raise it for the server (ulimit -n, LimitNOFILE=): a connection takes one")
	}
	return ok(name, "at most %d", limit.Max)
}
