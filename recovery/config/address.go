package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// problem is what is wrong with a text, and what to do about it.
type problem struct{ message, suggestion string }

// parseAddress reads "HOST:PORT", where HOST is an IP address, "*" is not
// one, and nothing means all addresses.
func parseAddress(text string) (netip.AddrPort, *problem) {
	bad := func(suggestion, format string, args ...any) (netip.AddrPort, *problem) {
		return netip.AddrPort{}, &problem{fmt.Sprintf(format, args...), suggestion}
	}
	whole, wholeErr := netip.ParseAddr(text)
	i := strings.LastIndexByte(text, ':')
	switch {
	case wholeErr == nil && whole.Is4():
		return bad(fmt.Sprintf("write \"%s:PORT\"", text), "%q has no port", text)
	case wholeErr == nil && (i == 0 || text[i-1] == ':'): // ::1, but not ::1:80
		return bad(fmt.Sprintf("write \"[%s]:PORT\"", text), "%q has no port", text)
	case i < 0:
		if port, err := strconv.ParseUint(text, 10, 16); err == nil && port > 0 {
			return bad(fmt.Sprintf("did you mean \":%d\"?", port), "%q is not an address", text)
		}
		return bad(`write ":PORT", "IPv4:PORT" or "[IPv6]:PORT"`, "%q is not an address", text)
	}
	host, portText := text[:i], text[i+1:]
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || strings.HasPrefix(portText, "+") {
		if wholeErr == nil {
			return bad(fmt.Sprintf("write \"[%s]:PORT\"", text), "%q has no port", text)
		}
		return bad("a number from 1 to 65535", "%q is not a port", portText)
	}
	if port == 0 {
		return bad("choose one from 1 to 65535", "port 0 would be another one at each start")
	}
	if host == "" {
		return netip.AddrPortFrom(netip.Addr{}, uint16(port)), nil
	}
	bare := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		bare = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(bare)
	switch {
	case host == "*":
		return bad(fmt.Sprintf("did you mean \":%d\"?", port), "%q is not an IP address", host)
	case host == "localhost":
		return bad(fmt.Sprintf("write \"127.0.0.1:%d\", \"[::1]:%d\" or both", port, port), "%q is not an IP address", host)
	case err != nil:
		return bad("names are not looked up: write the address", "%q is not an IP address", host)
	case addr.Is6() && bare == host:
		return bad(fmt.Sprintf("did you mean \"[%s]:%d\"?", host, port), "an IPv6 address needs brackets")
	case addr.Is4() && bare != host:
		return bad(fmt.Sprintf("did you mean \"%s:%d\"?", bare, port), "an IPv4 address has no brackets")
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// ParseAddress reads "HOST:PORT" with an IP address or nothing as HOST; then the address
// is the zero netip.Addr, which means all.
func ParseAddress(text string) (netip.AddrPort, error) {
	a, p := parseAddress(text)
	if p != nil {
		return a, fmt.Errorf("%s (%s)", p.message, p.suggestion)
	}
	return a, nil
}

func checkListen(c *checker, path string, n *node) {
	seen := map[netip.AddrPort]bool{}
	for _, item := range n.list {
		a, p := parseAddress(item.text)
		switch {
		case p != nil:
			c.complain(item.at, path, p.suggestion, "%s: %s", path, p.message)
		case seen[a]:
			c.complain(item.at, path, "remove one", "%s: %q is there twice", path, item.text)
		}
		seen[a] = true
	}
	if len(n.list) == 0 {
		c.complain(n.at, path, `write for example listen = [":7000"]`, "%s is empty", path)
	}
}

func checkProbeAddress(c *checker, path string, n *node) {
	if _, p := parseAddress(n.text); p != nil {
		c.complain(n.at, path, p.suggestion, "%s: %s", path, p.message)
	}
}
