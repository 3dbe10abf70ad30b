package recovery

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ftnet/ftnet/internal/sockdiag"
)

// addressList writes addresses as the file has them: what netip prints of one that means
// all is "invalid AddrPort".
func addressList(list []netip.AddrPort) string {
	var b strings.Builder
	for i, a := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		if a.Addr().IsValid() {
			b.WriteString(a.String())
		} else {
			fmt.Fprintf(&b, ":%d", a.Port())
		}
	}
	return b.String()
}

// all reports whether an address means every address of its family, or of both.
func all(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }

// permitted reports whether a server may listen on asked where it is configured
// for listen, if it is.
func permitted(listen []netip.AddrPort, asked netip.AddrPort) bool {
	if len(listen) == 0 {
		return true
	}
	for _, a := range listen {
		if a.Port() != asked.Port() {
			continue
		}
		if all(a.Addr()) || a.Addr() == asked.Addr() {
			return true
		}
	}
	return false
}

// served reports whether some of the sockets take the connections to a. Where a
// means every address, one is enough: the server may choose.
func served(a netip.AddrPort, sockets []sockdiag.Listener) bool {
	for _, l := range sockets {
		at := l.Address.Addr()
		switch {
		case l.Address.Port() != a.Port():
		case all(a.Addr()), at == a.Addr():
			return true
		case at.IsUnspecified() && (at.Is6() || a.Addr().Is4()): // [::] usually takes IPv4, too
			return true
		}
	}
	return false
}

// dialable is an address of this host at which a server listens for a.
func dialable(a netip.AddrPort) netip.AddrPort {
	switch {
	case !all(a.Addr()):
		return a
	case a.Addr().Is6():
		return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
}
