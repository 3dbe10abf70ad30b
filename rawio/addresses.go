package rawio

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

// addresses caches the addresses of this host. Its methods may be called
// by several goroutines.
type addresses struct {
	mu   sync.Mutex
	at   time.Time
	list map[netip.Addr]bool
}

// addressesAge is how old the cached list may be.
const addressesAge = 100 * time.Millisecond

// has reports whether an address is one of this host's, and true if they cannot be listed: a packet that
// is sent in vain does no harm.
func (h *addresses) has(a netip.Addr) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); now.Sub(h.at) > addressesAge {
		list, err := hostAddresses()
		if err != nil {
			return true, err
		}
		h.at, h.list = now, list
	}
	return a.IsLoopback() || h.list[a.WithZone("").Unmap()], nil
}

// hostAddresses lists the host's addresses, one family at a time: for a list of all families the kernel
// waits for its rtnl lock, see device.go.
func hostAddresses() (map[netip.Addr]bool, error) {
	all := map[netip.Addr]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.AddrList(nil, family)
		// If addresses come and go meanwhile, the list may lack some.
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, err
		}
		for i := range list {
			if a, ok := netip.AddrFromSlice(list[i].IP); ok {
				all[a.Unmap()] = true
			}
		}
	}
	return all, nil
}

// local is addresses.has, and logs errors.
func (e *Engine) local(a netip.Addr) bool {
	here, err := e.addresses.has(a)
	if err != nil {
		e.log.Debug("addresses not listed", "error", err)
	}
	return here
}
