package segment

import "net/netip"

// Flow names one protected TCP connection by its two ends. It is comparable
// and serves as a map key. Addresses are unmapped: an IPv4 address is never
// written in its IPv6-mapped form.
type Flow struct{ Client, Server netip.AddrPort }

// String returns "client > server", the direction of the first SYN.
func (f Flow) String() string { return f.Client.String() + " > " + f.Server.String() }
