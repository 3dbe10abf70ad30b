package rawio

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/conntrack"
	"github.com/ftnet/ftnet/rawio/sockdiag"
)

// explain finds out why neither tap nor gate has told of a connection that the
// kernel has. outside is the connection as it is in the network.
func (e *Engine) explain(s *sockdiag.Socket) (why reason.Reason, detail string, outside Flow) {
	f := s.Flow
	e.mu.Lock()
	early, began := e.unseen.halfOpen[s.Cookie]
	syn := e.machine.HasSYN(f)
	_, alias := e.unseen.aliases[f.Server.Port()]
	e.mu.Unlock()
	if began {
		return early, "", f
	}
	if alias {
		return reason.OtherPort, fmt.Sprintf("its client has dialled %v", f.Server), f
	}
	entry, err := e.tracked.Lookup(f)
	switch {
	case errors.Is(err, conntrack.ErrNotFound):
	case err != nil:
		e.log.Debug("connection tracking does not answer", "error", err)
	case entry.Client == f.Server && entry.Server == f.Client:
		return reason.Dialled, "", f
	case entry.SYNProxy:
		return reason.SYNProxied, "", f
	case entry.Server != f.Server:
		return reason.Translated, fmt.Sprintf("its client has dialled %v", entry.Server), Flow{Client: entry.Client, Server: entry.Server}
	case entry.Client != f.Client:
		return reason.Translated, fmt.Sprintf("its client is %v", entry.Client), Flow{Client: entry.Client, Server: entry.Server}
	}
	if name := e.unprotectedWay(s); name != "" {
		return reason.OtherWay, name, f
	}
	if syn {
		return reason.Unrecognized, "its SYN came, but no SYN-ACK of it left by a protected interface", f
	}
	return reason.Unrecognized, "no SYN of it came to this port", f
}

// unprotectedWay returns the interface by which the kernel sends to a socket's
// client, if the gate is not attached to it.
func (e *Engine) unprotectedWay(s *sockdiag.Socket) string {
	index := int(s.Interface)
	if index == 0 {
		index = outgoing(s.Flow.Server.Addr(), s.Flow.Client.Addr())
	}
	if index == 0 || e.links.has(index) {
		return ""
	}
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	return link.Attrs().Name
}

// outgoing returns the index of the interface by which a packet leaves, 0 if it can't
// be told.
func outgoing(from, to netip.Addr) int {
	routes, err := netlink.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: from.AsSlice()})
	if err != nil || len(routes) == 0 {
		return 0
	}
	return routes[0].LinkIndex
}
