package logd

import (
	"net"
	"net/netip"
	"sync"
)

// admission limits the connections whose peer is not known yet.
type admission struct {
	most, mostPerAddress int

	mu  sync.Mutex // guards what follows
	all int
	by  map[string]int
}

// admit returns what to call when the connection has ended or its peer is known, and
// whether there is room for it.
func (a *admission) admit(addr net.Addr) (leave func(), ok bool) {
	from := origin(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all >= a.most || a.by[from] >= a.mostPerAddress {
		return nil, false
	}
	a.all++
	a.by[from]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all--
		if a.by[from]--; a.by[from] == 0 {
			delete(a.by, from)
		}
	}, true
}

// origin is what counts as one address: of IPv6 the network, as a host has all
// addresses of it.
func origin(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	ip := ap.Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
