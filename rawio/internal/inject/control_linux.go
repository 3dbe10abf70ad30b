package inject

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is room for a packet's control messages, aligned as they are.
type control [12]uint64

// of returns what a packet's route depends on besides its destination: its source
// address, which the kernel does not read from the header, and its mark.
func (c *control) of(family int, p *Packet) []byte {
	b := unsafe.Slice((*byte)(unsafe.Pointer(c)), len(c)*8)
	n := 0
	add := func(level, kind int32, size int) unsafe.Pointer {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[n]))
		h.Level, h.Type = level, kind
		h.SetLen(unix.CmsgLen(size))
		data := unsafe.Pointer(&b[n+unix.CmsgLen(0)])
		n += unix.CmsgSpace(size)
		return data
	}
	switch family {
	case unix.AF_INET:
		info := (*unix.Inet4Pktinfo)(add(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo))
		*info = unix.Inet4Pktinfo{Spec_dst: source(p.Data).As4()}
	case unix.AF_INET6:
		info := (*unix.Inet6Pktinfo)(add(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo))
		*info = unix.Inet6Pktinfo{Addr: source(p.Data).As16()}
	}
	if p.Way.Mark != 0 {
		*(*uint32)(add(unix.SOL_SOCKET, unix.SO_MARK, 4)) = p.Way.Mark
	}
	return b[:n]
}
