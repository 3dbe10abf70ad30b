package logd

import (
	"net"
	"net/netip"
	"sync"
)

// handshakes counts connections whose peer is not known yet.
type handshakes struct {
	most, mostPerAddress int

	mu  sync.Mutex // guards what follows
	all int
	by  map[string]int
}

// begin returns what to call when the handshake has ended, and whether there is room
// for it.
func (h *handshakes) begin(addr net.Addr) (leave func(), ok bool) {
	from := origin(addr)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all >= h.most || h.by[from] >= h.mostPerAddress {
		return nil, false
	}
	h.all++
	h.by[from]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all--
		if h.by[from]--; h.by[from] == 0 {
			delete(h.by, from)
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
