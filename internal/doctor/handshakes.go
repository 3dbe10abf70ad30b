package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/rawio"
)

// Handshakes tells whether the kernel answers the handshakes by which the connections of
// services are recovered: what running engines have found, and of the other ports what is
// found now, if somebody listens there. mark is that of the engine that will protect them.
// For the latter the interfaces have filters for some seconds: end ctx, and wait, to take
// them off before their time. Those that a killed process leaves are a dead engine's.
func Handshakes(ctx context.Context, engines []*status.Document, ports []uint16, mark fwmark.Mark) (results []Result) {
	for _, d := range engines {
		for i := range d.Services {
			s := &d.Services[i]
			n := portOf(s.Address)
			ports = slices.DeleteFunc(slices.Clone(ports), func(p uint16) bool { return p == n })
			for _, h := range s.Handshakes {
				results = append(results, verdict(n, h.Interface, h.Network, h.Answered, h.Reason)...)
			}
			switch {
			case len(s.Handshakes) > 0:
			case s.State == status.ServiceOutage || s.State == status.ServiceStopped || s.State == status.ServiceClosed:
				results = append(results, finding(Warn, handshake, fmt.Sprintf("port %d: not tried, for nobody listens there", n),
					"start the server, or have it listen there")...)
			default:
				results = append(results, finding(Warn, handshake, fmt.Sprintf("port %d: its engine has tried none yet", n),
					"have a client connect, or ask again later")...)
			}
		}
	}
	ports = slices.DeleteFunc(slices.Clone(ports), func(p uint16) bool {
		taken := runtimedir.PortTaken(p)
		if taken {
			results = append(results, finding(Warn, handshake, fmt.Sprintf("port %d: not tried, for an engine protects it that was not asked", p),
				"name its --runtime-dir")...)
		}
		return taken
	})
	found, err := tryHandshakes(ctx, ports, mark)
	if err != nil {
		return append(results, finding(Warn, handshake, "not tried: "+err.Error(), "see the failures above")...)
	}
	slices.SortFunc(found, func(a, b rawio.Handshake) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Interface, b.Interface), strings.Compare(a.Network, b.Network))
	})
	for _, h := range found {
		results = append(results, verdict(h.Port, h.Interface, h.Network, h.Answered, h.Reason)...)
	}
	for _, p := range ports {
		if !slices.ContainsFunc(found, func(h rawio.Handshake) bool { return h.Port == p }) {
			results = append(results, finding(Warn, handshake,
				fmt.Sprintf("port %d: not tried, for nobody listens there, or its queue is full, or no client's name is known", p),
				"start the server, and have a client's host say something to this one")...)
		}
	}
	return results
}

// tryHandshakes tries them with filters that no engine takes for a dead one's.
func tryHandshakes(ctx context.Context, ports []uint16, mark fwmark.Mark) (found []rawio.Handshake, err error) {
	if len(ports) == 0 {
		return nil, nil
	}
	claim, err := runtimedir.ClaimID()
	if err != nil {
		return nil, err
	}
	found, err = rawio.TryHandshakes(ctx, claim.ID, ports, mark)
	return found, errors.Join(err, claim.Close())
}

// handshake is the name of the results.
const handshake = "handshake"

func verdict(port uint16, link, network string, answered bool, why string) []Result {
	at := fmt.Sprintf("port %d by %s, %s: ", port, link, network)
	if answered {
		return ok(handshake, "%sanswered", at)
	}
	return finding(Warn, handshake, at+why, "no connection by this interface can be recovered, if one can begin there: "+
		"look for the rule (nft list ruleset) that drops what is sent in a client's name")
}

// portOf returns the port of the first of the addresses.
func portOf(addresses string) (n uint16) {
	first, _, _ := strings.Cut(addresses, ",")
	_, _ = fmt.Sscan(first[strings.LastIndexByte(first, ':')+1:], &n)
	return n
}
