package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/rawio"
)

// Handshakes tells whether the kernel answers the handshakes by which the connections of
// services are recovered: what running engines have found, and of the other ports what is
// found now, if somebody listens there. An address without a host means all of this host's. mark is that of the engine that will protect them.
// For the latter the interfaces have filters for some seconds: end ctx, and wait, to take
// them off before their time. Those that a killed process leaves are a dead engine's.
func Handshakes(ctx context.Context, engines []*status.Document, at []netip.AddrPort, mark fwmark.Mark) (results []Result) {
	for _, d := range engines {
		for i := range d.Services {
			s := &d.Services[i]
			n := portOf(s.Address)
			at = slices.DeleteFunc(slices.Clone(at), func(a netip.AddrPort) bool { return a.Port() == n })
			results = append(results, known(s, n)...)
		}
	}
	seen := map[uint16]bool{}
	at = slices.DeleteFunc(slices.Clone(at), func(a netip.AddrPort) bool {
		p := a.Port()
		taken := runtimedir.PortTaken(p)
		if taken && !seen[p] {
			seen[p] = true
			results = append(results, finding(Warn, handshake, fmt.Sprintf("port %d: not tried: another engine protects it", p),
				"name its --runtime-dir")...)
		}
		return taken
	})
	found, err := tryHandshakes(ctx, at, mark)
	if err != nil {
		return append(results, finding(Warn, handshake, "not tried: "+err.Error(), "see the failures above")...)
	}
	slices.SortFunc(found, func(a, b rawio.Handshake) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Interface, b.Interface), strings.Compare(a.Network, b.Network))
	})
	for _, h := range found {
		results = append(results, verdict(h)...)
	}
	for _, a := range at {
		// What was found at the port may be of another address that was asked for.
		if !slices.ContainsFunc(found, func(h rawio.Handshake) bool { return h.Port == a.Port() }) {
			results = append(results, finding(Warn, handshake, where(a)+": not tried: nothing listens there", "start the server, or name where it listens")...)
		}
	}
	return results
}

// where names what is to be tried.
func where(a netip.AddrPort) string {
	if !a.Addr().IsValid() || a.Addr().IsUnspecified() {
		return fmt.Sprintf("port %d", a.Port())
	}
	return a.String()
}

// known is what a running engine has found at the port of a service.
func known(s *status.Service, port uint16) (results []Result) {
	switch {
	case s.State == status.ServiceStarting:
		return finding(Warn, handshake, fmt.Sprintf("port %d: not tried, for %s does not listen there yet (%s)", port, s.Program, s.Address),
			"wait until it does; or see what it says")
	case s.State == status.ServiceOutage, s.State == status.ServiceStopped, s.State == status.ServiceClosed:
		return finding(Warn, handshake, fmt.Sprintf("port %d: not tried: nothing listens there", port), "start the server, or have it listen there")
	case s.State == status.ServiceFenced:
		return finding(Warn, handshake, fmt.Sprintf("port %d: not tried: another engine has taken over %s", port, s.Program), "remove the service on one of the two hosts")
	case len(s.Handshakes)+len(s.Untried) == 0:
		return finding(Warn, handshake, fmt.Sprintf("port %d: its engine has tried none yet", port), "have a client connect, or ask again later")
	}
	for _, h := range s.Handshakes {
		results = append(results, verdict(handshakeOf(port, h))...)
	}
	for _, h := range s.Untried {
		v := handshakeOf(port, h)
		v.Untried = true
		results = append(results, verdict(v)...)
	}
	return results
}

func handshakeOf(port uint16, h status.Handshake) rawio.Handshake {
	return rawio.Handshake{Port: port, Interface: h.Interface, Network: h.Network, Answered: h.Answered, Loopback: h.Loopback, Reason: h.Reason}
}

// tryHandshakes tries them with filters that no engine takes for a dead one's.
func tryHandshakes(ctx context.Context, at []netip.AddrPort, mark fwmark.Mark) (found []rawio.Handshake, err error) {
	if len(at) == 0 {
		return nil, nil
	}
	claim, err := runtimedir.ClaimID()
	if err != nil {
		return nil, err
	}
	found, err = rawio.TryHandshakes(ctx, claim.ID, at, mark)
	return found, errors.Join(err, claim.Close())
}

// handshake is the name of the results.
const handshake = "handshake"

func verdict(h rawio.Handshake) []Result {
	at := fmt.Sprintf("port %d by %s, %s: ", h.Port, h.Interface, h.Network)
	switch {
	case h.Untried:
		return finding(Warn, handshake, at+"not tried: "+h.Reason, "if clients come by this interface, send something to this host from one of theirs")
	case h.Loopback:
		return ok(handshake, "%sanswered by loopback only", at)
	case h.Answered:
		return ok(handshake, "%sanswered", at)
	}
	return finding(Warn, handshake, at+h.Reason, "no connection by this interface can be recovered, if one can begin there: "+
		"look for the rule (nft list ruleset) that drops what is sent in a client's name")
}

// portOf returns the port of the first of the addresses.
func portOf(addresses string) (n uint16) {
	first, _, _ := strings.Cut(addresses, ",")
	_, _ = fmt.Sscan(first[strings.LastIndexByte(first, ':')+1:], &n)
	return n
}
