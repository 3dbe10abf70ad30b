// Package caps tells which capabilities(7) this process lacks, for messages that
// say what to do about a refusal.
package caps

import "strings"

// Cap is a capability by its name, "CAP_NET_RAW".
type Cap string

// Those that the engine needs; see docs/operations.md.
const (
	NetAdmin Cap = "CAP_NET_ADMIN"
	NetRaw   Cap = "CAP_NET_RAW"
	BPF      Cap = "CAP_BPF"
	Perfmon  Cap = "CAP_PERFMON"
	SysAdmin Cap = "CAP_SYS_ADMIN" // includes the two before
	Setuid   Cap = "CAP_SETUID"
	Setgid   Cap = "CAP_SETGID"
	Kill     Cap = "CAP_KILL"
)

// Advice says what to do where something was refused that takes these
// capabilities: it names those that are missing, not those that are there.
func Advice(needed ...Cap) string { return advice(Missing(needed...)) }

func advice(missing []Cap) string {
	if len(missing) == 0 {
		return "the capabilities for it are there: a container's policy, seccomp, a security module or a user namespace forbids it"
	}
	var names []string
	for _, c := range missing {
		names = append(names, string(c))
	}
	text := names[len(names)-1]
	if len(names) > 1 {
		text = strings.Join(names[:len(names)-1], ", ") + " and " + text
	}
	return "run as root, or give " + text + " (setcap, or AmbientCapabilities= of systemd)"
}
