package rawio

import (
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// Rules may depend on interface and source address. So the best source for a trial is a client
// that has connected, with another port: such a trial proves what a recovery needs. Before the first
// client, other addresses are used whose SYNs could arrive on the interface, and to
// which an answer would leave without link-layer address resolution: known neighbours, and
// an address behind the default router.

const (
	namesMax = 3 // addresses that are tried before the first client has connected
	// noClientEvery is how often to look for a client's address.
	noClientEvery = time.Minute
)

// documented are the documentation prefixes, whose addresses no host has (RFC 5737, RFC 3849).
var documented = map[bool]netip.Prefix{
	false: netip.MustParsePrefix("192.0.2.0/24"), true: netip.MustParsePrefix("2001:db8::/32"),
}

// entrances returns the entrances that can be tried, each with an address of the server.
func (e *Engine) entrances() map[entrance]netip.Addr {
	interfaces := e.links.attached()
	listeners, list := e.listening(interfaces)
	for _, at := range e.trials.update(list, listeners, interfaces) {
		e.do(func(m *south.Machine) { m.TrialResult(at.port, at.ifindex, at.v6, "") })
	}
	maps.DeleteFunc(list, func(at entrance, _ netip.Addr) bool { return !e.links.has(at.ifindex) })
	return list
}

// listening returns the listeners of ports where trials are allowed, and their entrances; none if
// they cannot be listed.
func (e *Engine) listening(interfaces map[int]string) ([]sockdiag.Listener, map[entrance]netip.Addr) {
	ports := e.mayTry()
	if len(ports) == 0 {
		return nil, nil
	}
	listeners, err := e.table.Listeners(ports)
	if err != nil {
		e.log.Debug("listeners not listed", "error", err)
		return nil, nil
	}
	list, err := entrancesOf(listeners, interfaces, nil)
	if err != nil {
		e.log.Debug("addresses not listed", "error", err)
		return nil, nil
	}
	return listeners, list
}

// update adds the listed entrances to the known ones, and to the list the entrances that clients have
// used, if listeners still accept connections there. It drops and returns the entrances that are gone:
// the gate is no longer on the interface, or no listener accepts connections there. An interface
// to which the gate is to be reattached stays: its rule sets are the same.
func (t *trials) update(list map[entrance]netip.Addr, listeners []sockdiag.Listener, interfaces map[int]string) (gone []entrance) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for at := range list {
		if t.all[at] == nil {
			t.all[at] = &trial{}
		}
	}
	for at, v := range t.all {
		v.name = interfaces[at.ifindex]
		served := taken(listeners, at, v.server)
		if v.name != "" && served {
			list[at] = v.server
		}
		_, listed := list[at]
		other := !listed && !served && slices.ContainsFunc(listeners, func(l sockdiag.Listener) bool { return l.Address.Port() == at.port })
		if v.name == "" || other {
			delete(t.all, at)
			gone = append(gone, at)
		}
	}
	return gone
}

// entrancesOf returns the entrances of listeners on the gate's interfaces, each with
// an address of the interface, for which wanted must return true unless it is nil.
func entrancesOf(listeners []sockdiag.Listener, interfaces map[int]string, wanted func(netip.AddrPort) bool) (map[entrance]netip.Addr, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	list := map[entrance]netip.Addr{}
	for _, a := range addresses {
		addr, ok := netip.AddrFromSlice(a.IP)
		name := interfaces[a.LinkIndex]
		if addr = addr.Unmap(); !ok || name == "" || a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 ||
			addr.IsLoopback() != (a.LinkIndex == inject.Loopback) {
			continue
		}
		for i := range listeners {
			l := &listeners[i]
			if takes(l, addr, a.LinkIndex) && (wanted == nil || wanted(netip.AddrPortFrom(addr, l.Address.Port()))) {
				at := entrance{l.Address.Port(), a.LinkIndex, addr.Is6()}
				if old, ok := list[at]; !ok || old.IsLinkLocalUnicast() {
					list[at] = addr
				}
			}
		}
	}
	return list, nil
}

// taken reports whether one of the listeners accepts connections to an address at an entrance.
func taken(listeners []sockdiag.Listener, at entrance, server netip.Addr) bool {
	return server.IsValid() && slices.ContainsFunc(listeners, func(l sockdiag.Listener) bool {
		return l.Address.Port() == at.port && takes(&l, server, at.ifindex)
	})
}

// takes reports whether a listener accepts connections to an address on an interface.
func takes(l *sockdiag.Listener, a netip.Addr, ifindex int) bool {
	if l.Interface != 0 && int(l.Interface) != ifindex {
		return false
	}
	of := l.Address.Addr()
	return of == a || of.IsUnspecified() && (of.Is6() == a.Is6() || a.Is4() && !l.V6Only)
}

// tryEntrance makes a trial at an entrance, with the best client addresses that are known.
func (e *Engine) tryEntrance(at entrance, server netip.Addr) {
	v, names := e.trials.begin(at)
	if v == nil {
		return
	}
	byClient := len(names) > 0
	if !byClient {
		names = e.trials.names(at, server)
	}
	found, tried := e.trials.any(at, names, server, e.links.has)
	if !tried {
		e.trials.mu.Lock()
		v.postpone(time.Now().Add(noClientEvery))
		v.noClient = true
		e.trials.mu.Unlock()
		return
	}
	e.concluded(at, v, found, byClient)
}

// any tries a handshake with one client address after the other, until one is answered. It skips
// those whose answer could leave by an interface without the gate. tried is false if it skips all.
func (h *handshaker) any(at entrance, names []netip.Addr, server netip.Addr, guarded func(ifindex int) bool) (found verdict, tried bool) {
	for _, client := range names {
		if !staysHere(at, client, server, guarded) {
			continue
		}
		tried = true
		if found = h.try(at, client, server); found.kind != unanswered {
			break
		}
	}
	return found, tried
}

// staysHere reports whether the gate is on the interface by which an answer would leave.
func staysHere(at entrance, client, server netip.Addr, guarded func(ifindex int) bool) bool {
	if !guarded(at.ifindex) {
		return false
	}
	if at.ifindex == inject.Loopback || client.IsLinkLocalUnicast() {
		return true
	}
	out := outgoing(server, client)
	return out != 0 && out != inject.Loopback && guarded(out)
}

// names returns addresses that a client at an entrance could have.
func (h *handshaker) names(at entrance, server netip.Addr) (list []netip.Addr) {
	if at.ifindex == inject.Loopback {
		return []netip.Addr{server}
	}
	family := netlink.FAMILY_V4
	if at.v6 {
		family = netlink.FAMILY_V6
	}
	known, err := netlink.NeighList(at.ifindex, family)
	const usable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
	for i := range known {
		a, ok := netip.AddrFromSlice(known[i].IP)
		if a = a.Unmap(); ok && known[i].State&usable != 0 && a != server && a.IsLinkLocalUnicast() == server.IsLinkLocalUnicast() &&
			!a.IsMulticast() && !a.IsUnspecified() && len(list) < namesMax-1 {
			list = append(list, a)
		}
	}
	if peer, peerErr := pointToPoint(at, server); peerErr == nil && peer.IsValid() {
		list = append(list, peer)
	}
	routes, routeErr := netlink.RouteListFiltered(family, &netlink.Route{LinkIndex: at.ifindex}, netlink.RT_FILTER_OIF)
	if err := errors.Join(err, routeErr); err != nil {
		h.log.Debug("neighbours and routes not listed", "error", err)
	}
	for i := range routes {
		r := &routes[i]
		if ones, _ := maskOf(r); ones == 0 && r.Gw != nil && !server.IsLinkLocalUnicast() {
			return append(list, within(documented[at.v6]))
		}
	}
	return list
}

func maskOf(r *netlink.Route) (ones, bits int) {
	if r.Dst == nil {
		return 0, 0
	}
	return r.Dst.Mask.Size()
}

// within returns a random address of a network, neither the first nor the last one.
func within(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] = byte(1 + rand.IntN(254))
	a, _ := netip.AddrFromSlice(b)
	return a
}

// pointToPoint returns an address behind an interface without neighbours (IFF_NOARP).
func pointToPoint(at entrance, server netip.Addr) (peer netip.Addr, err error) {
	link, err := netlink.LinkByIndex(at.ifindex)
	if err != nil || link.Attrs().RawFlags&unix.IFF_NOARP == 0 {
		return peer, err
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	for i := range list {
		if own, ok := netip.AddrFromSlice(list[i].IP); !ok || own.Unmap() != server {
			continue
		}
		if list[i].Peer != nil {
			if a, ok := netip.AddrFromSlice(list[i].Peer.IP); ok && a.Unmap() != server {
				return a.Unmap(), nil
			}
		}
		if a := server.Next(); list[i].Contains(a.AsSlice()) {
			return a, nil
		}
		return server.Prev(), nil
	}
	return peer, err
}
