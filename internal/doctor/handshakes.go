package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/rawio"
)

// Handshakes tells whether the kernel answers the handshakes by which the connections of
// services are recovered: what running engines have found, and of the other ports what is
// found now, if somebody listens there. mark is that of the engine that will protect them.
func Handshakes(ctx context.Context, engines []*status.Document, ports []uint16, mark fwmark.Mark) (results []Result) {
	const name = "handshake"
	for _, d := range engines {
		for i := range d.Services {
			s := &d.Services[i]
			n := portOf(s.Address)
			ports = slices.DeleteFunc(slices.Clone(ports), func(p uint16) bool { return p == n })
			for _, h := range s.Handshakes {
				results = append(results, handshake(n, h.Interface, h.Network, h.Answered, h.Reason)...)
			}
		}
	}
	found, err := rawio.TryHandshakes(ctx, ports, mark)
	if err != nil {
		return append(results, finding(Warn, name, "not tried: "+err.Error(), "see the failures above")...)
	}
	slices.SortFunc(found, func(a, b rawio.Handshake) int {
		return strings.Compare(fmt.Sprintf("%05d %s %s", a.Port, a.Interface, a.Network), fmt.Sprintf("%05d %s %s", b.Port, b.Interface, b.Network))
	})
	for _, h := range found {
		results = append(results, handshake(h.Port, h.Interface, h.Network, h.Answered, h.Reason)...)
	}
	for _, p := range ports {
		if !slices.ContainsFunc(found, func(h rawio.Handshake) bool { return h.Port == p }) {
			results = append(results, finding(Warn, name, fmt.Sprintf("port %d: not tried, for nobody listens there, or no client's name is known", p),
				"start the server, and have a client's host say something to this one")...)
		}
	}
	return results
}

func handshake(port uint16, link, network string, answered bool, why string) []Result {
	const name = "handshake"
	at := fmt.Sprintf("port %d by %s, %s: ", port, link, network)
	if answered {
		return ok(name, "%sanswered", at)
	}
	return finding(Warn, name, at+why, "no connection by this interface can be recovered, if one can begin there: "+
		"look for the rule (nft list ruleset) that drops what is sent in a client's name")
}

// portOf returns the port of the first of the addresses.
func portOf(addresses string) (n uint16) {
	first, _, _ := strings.Cut(addresses, ",")
	_, _ = fmt.Sscan(first[strings.LastIndexByte(first, ':')+1:], &n)
	return n
}
