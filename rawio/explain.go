package rawio

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
)

// explain finds out why neither tap nor gate has seen the handshake of a connection that the
// kernel has, and that has begun after since, or after its SYN if that is known.
// outside has the connection's addresses in the network.
func (e *Engine) explain(s *sockdiag.Socket, since time.Time) (why reason.Reason, detail string, outside Flow) {
	f := s.Flow
	e.mu.Lock()
	early := e.unseen.early(s)
	age, syn := e.machine.SYN(f)
	_, alias := e.unseen.aliases[f.Server.Port()]
	if sent := time.Now().Add(-time.Duration(age)); syn && sent.Before(since) {
		since = sent
	}
	e.mu.Unlock()
	if early != "" {
		return early, "", f
	}
	if alias {
		return reason.OtherPort, fmt.Sprintf("its client has dialled %v", f.Server), f
	}
	entry, err := e.unseen.tracked(f)
	switch {
	case errors.Is(err, conntrack.ErrNotFound):
	case err != nil:
		e.log.Debug("connection tracking not read", "error", err)
	case entry.Client == f.Server && entry.Server == f.Client:
		return reason.Dialled, "", f
	case entry.SYNProxy:
		return reason.SYNProxied, "", f
	case entry.Server != f.Server:
		return reason.Translated, fmt.Sprintf("its client has dialled %v", entry.Server), Flow{Client: entry.Client, Server: entry.Server}
	case entry.Client != f.Client:
		return reason.Translated, fmt.Sprintf("its client is %v", entry.Client), Flow{Client: entry.Client, Server: entry.Server}
	}
	if index := wayOut(s); index != 0 {
		switch passed, attached := e.links.passed(index, since); {
		case !attached:
			return reason.OtherWay, nameOf(index), f
		case passed != "":
			return reason.Ungated, passed, f
		}
	}
	if syn {
		return reason.Unrecognized, "its SYN came, but no SYN-ACK of it left by a protected interface", f
	}
	return reason.Unrecognized, "no SYN of it is known", f
}

// wayOut returns the index of the interface by which the kernel sends to a socket's client,
// 0 if that is not known.
func wayOut(s *sockdiag.Socket) int {
	if s.Interface != 0 {
		return int(s.Interface)
	}
	return outgoing(s.Flow.Server.Addr(), s.Flow.Client.Addr())
}

// outgoing returns the index of the interface by which a packet leaves, 0 if that is not known.
func outgoing(from, to netip.Addr) int {
	routes, err := netlink.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: from.AsSlice()})
	if err != nil || len(routes) == 0 {
		return 0
	}
	return routes[0].LinkIndex
}
