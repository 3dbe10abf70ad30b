package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// end is one end of a veth pair; an end without addresses carries no IP.
type end struct {
	ns    *Namespace
	link  string
	addrs []netip.Prefix
}

// join connects two namespaces by a veth pair. When it returns the addresses are
// usable.
func join(a, b end, mtu int) error {
	h, err := netlink.NewHandleAt(a.ns.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = a.link, mtu
	// Two fresh namespaces would give both ends one index, which makes the
	// kernel take them for an ordinary device and report "carrier" up to a
	// second late (linkwatch_urgent_event); IPv6 addresses are unusable until then.
	attrs.Index = 10
	err = h.LinkAdd(&netlink.Veth{
		LinkAttrs:     attrs,
		PeerName:      b.link,
		PeerMTU:       uint32(mtu),
		PeerNamespace: netlink.NsFd(b.ns.handle),
	})
	if err != nil {
		return fmt.Errorf("create veth pair %s-%s: %w", a.link, b.link, err)
	}
	for _, e := range []end{a, b} {
		if err := e.up(); err != nil {
			return fmt.Errorf("configure %s: %w", e.link, err)
		}
	}
	for _, e := range []end{a, b} {
		if err := e.await(); err != nil {
			return fmt.Errorf("wait for the addresses of %s: %w", e.link, err)
		}
	}
	return nil
}

func (e end) up() error {
	if len(e.addrs) == 0 { // nothing but the relay's frames may leave here
		if err := e.ns.Sysctl("ipv6/conf/"+e.link+"/disable_ipv6", "1"); err != nil {
			return err
		}
	}
	h, err := netlink.NewHandleAt(e.ns.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(e.link)
	if err != nil {
		return err
	}
	for _, p := range e.addrs {
		addr := &netlink.Addr{IPNet: &net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return h.LinkSetUp(link)
}

// addressLimit is how long an address may take to be usable.
const addressLimit = 5 * time.Second

// await waits until the IPv6 addresses are the host's own: the kernel makes them so
// in the background when the link has a carrier, and tells nobody. Until then
// packets for them leave by the link.
func (e end) await() error {
	h, err := netlink.NewHandleAt(e.ns.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	deadline := time.Now().Add(addressLimit)
	for _, p := range e.addrs {
		for p.Addr().Is6() {
			routes, err := h.RouteGet(p.Addr().AsSlice())
			if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%v is not the host's own after %v: routes %v, %w", p.Addr(), addressLimit, routes, err)
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	return nil
}

// segmentInSoftware turns the device's checksum and TCP segmentation offload
// off; software GSO stays on. See the package comment for the reason.
func segmentInSoftware(link string) error {
	for _, command := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO} {
		if err := ethtool(link, command, 0); err != nil {
			return fmt.Errorf("ethtool %#x on %s: %w", command, link, err)
		}
	}
	return nil
}

// ethtool issues one of the "set value" requests of SIOCETHTOOL.
func ethtool(link string, command, value uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request := struct{ command, value uint32 }{command, value}
	// struct ifreq: the name, then a union of 24 bytes that starts with the pointer.
	var ifreq struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], link)
	ifreq.data = unsafe.Pointer(&request)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq)))
	if errno != 0 {
		return errno
	}
	return nil
}
