package logd

import (
	"net"
	"net/netip"
	"sync"
)

// door counts strangers: connections whose peer is not known yet.
type door struct {
	most, mostPerAddress int

	mu  sync.Mutex // guards what follows
	all int
	by  map[string]int
}

// enter returns what to call when the stranger has left or become a peer, and
// whether there is room for it.
func (d *door) enter(addr net.Addr) (leave func(), ok bool) {
	from := origin(addr)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= d.most || d.by[from] >= d.mostPerAddress {
		return nil, false
	}
	d.all++
	d.by[from]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all--
		if d.by[from]--; d.by[from] == 0 {
			delete(d.by, from)
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
