package demo

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// Stage is where the show takes place: where the server listens, and how its
// process and the clients' get there.
type Stage struct {
	Address string // of the server
	Where   string // for people
	server  *place
	client  *place
}

// Addresses from a block for documentation (RFC 5737): they live in private
// namespaces only.
var (
	serverAddr = netip.MustParsePrefix("192.0.2.1/24")
	clientAddr = netip.MustParsePrefix("192.0.2.2/24")
)

// NetworkStage makes two network namespaces joined by a veth pair.
func NetworkStage() (s *Stage, err error) {
	s = &Stage{Address: netip.AddrPortFrom(serverAddr.Addr(), 7000).String(),
		Where: "two network namespaces joined by a veth pair"}
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	if s.server, err = newPlace(true); err != nil {
		return s, fmt.Errorf("network namespace: %w", err)
	}
	if s.client, err = newPlace(true); err != nil {
		return s, fmt.Errorf("network namespace: %w", err)
	}
	var ns *os.File
	err = s.client.do(func() (err error) {
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return s, err
	}
	defer ns.Close()
	err = s.server.do(func() error {
		link := netlink.NewLinkAttrs()
		link.Name = "server0"
		veth := &netlink.Veth{LinkAttrs: link, PeerName: "client0", PeerNamespace: netlink.NsFd(ns.Fd())}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("veth pair: %w", err)
		}
		return up("server0", serverAddr)
	})
	if err != nil {
		return s, err
	}
	return s, s.client.do(func() error { return up("client0", clientAddr) })
}

// up gives the interface its address in the namespace of the calling thread.
func up(name string, addr netip.Prefix) error {
	h, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer h.Close()
	for _, n := range []string{"lo", name} {
		link, err := h.LinkByName(n)
		if err != nil {
			return fmt.Errorf("interface %s: %w", n, err)
		}
		if n == name {
			a := &netlink.Addr{IPNet: &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), addr.Addr().BitLen())}}
			if err := h.AddrAdd(link, a); err != nil {
				return fmt.Errorf("address of %s: %w", n, err)
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("interface %s: %w", n, err)
		}
	}
	return nil
}

// LoopbackStage uses the loopback interface and a port that is free now.
func LoopbackStage() (*Stage, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Stage{Address: l.Addr().String(), Where: "the loopback interface"}
	if err := l.Close(); err != nil {
		return nil, err
	}
	if s.server, err = newPlace(false); err != nil {
		return nil, err
	}
	s.client, err = newPlace(false)
	return s, err
}

// Close lets the stage go, when no process runs on it any more.
func (s *Stage) Close() {
	for _, p := range []*place{s.server, s.client} {
		if p != nil {
			p.close()
		}
	}
}
