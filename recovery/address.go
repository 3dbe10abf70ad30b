package recovery

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ftnet/ftnet/internal/sockdiag"
)

// parseAddress reads HOST:PORT with an IP address or nothing as HOST; without,
// the address is the zero netip.Addr, which means all.
func parseAddress(s string) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: want HOST:PORT", s)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("address %q has no port number", s)
	}
	var addr netip.Addr
	if host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("address %q: the host must be an IP address or left out", s)
		}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

func parseAddresses(list []string) ([]netip.AddrPort, error) {
	out := make([]netip.AddrPort, len(list))
	for i, s := range list {
		var err error
		if out[i], err = parseAddress(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addressList is the reverse of parseAddresses, for people: what netip prints of an
// address that means all is "invalid AddrPort".
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
