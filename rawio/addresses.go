package rawio

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// addresses are those of this host, as they were a moment ago. Its methods may be called
// by several goroutines.
type addresses struct {
	mu   sync.Mutex
	at   time.Time
	list map[netip.Addr]bool
}

// addressesAge is how old they may be.
const addressesAge = 100 * time.Millisecond

// has reports whether an address is one of this host's. If they can't be listed it is: what
// is sent in vain does no harm.
func (h *addresses) has(a netip.Addr) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); now.Sub(h.at) > addressesAge {
		list, err := net.InterfaceAddrs()
		if err != nil {
			return true, err
		}
		h.at, h.list = now, make(map[netip.Addr]bool, len(list))
		for _, n := range list {
			if p, err := netip.ParsePrefix(n.String()); err == nil {
				h.list[p.Addr().WithZone("").Unmap()] = true
			}
		}
	}
	return a.IsLoopback() || h.list[a.WithZone("").Unmap()], nil
}

// local reports the same.
func (e *Engine) local(a netip.Addr) bool {
	here, err := e.addresses.has(a)
	if err != nil {
		e.log.Debug("addresses not listed", "error", err)
	}
	return here
}
