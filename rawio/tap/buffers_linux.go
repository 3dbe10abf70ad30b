package tap

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/segment"
)

// controlSize has room for the two control messages of a packet: SCM_TIMESTAMPNS
// and PACKET_AUXDATA.
const controlSize = 128

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	unix.Msghdr
	received uint32
}

// buffers is the memory that recvmmsg(2) fills: one element a packet in each.
type buffers struct {
	headers []mmsghdr
	iovecs  []unix.Iovec
	names   []unix.RawSockaddrLinklayer
	control [][controlSize]byte
	data    [][maxPacket]byte
}

func newBuffers(n int) *buffers {
	b := &buffers{
		headers: make([]mmsghdr, n),
		iovecs:  make([]unix.Iovec, n),
		names:   make([]unix.RawSockaddrLinklayer, n),
		control: make([][controlSize]byte, n),
		data:    make([][maxPacket]byte, n),
	}
	for i := range b.headers {
		b.iovecs[i].Base = &b.data[i][0]
		b.iovecs[i].SetLen(maxPacket)
		h := &b.headers[i]
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.iovecs[i]
		h.SetIovlen(1)
		h.Control = &b.control[i][0]
		b.reset(i)
	}
	return b
}

// reset restores the fields of a header that the kernel overwrites.
func (b *buffers) reset(i int) {
	h := &b.headers[i]
	h.Namelen = unix.SizeofSockaddrLinklayer
	h.SetControllen(controlSize)
	h.Flags = 0
}

// receive takes what is queued, without blocking.
func (b *buffers) receive(fd int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&b.headers[0])), uintptr(len(b.headers)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// packets appends the first n received messages to list.
func (b *buffers) packets(list []Packet, n int) []Packet {
	for i := range n {
		h := &b.headers[i]
		// TCP accepts nothing but packets to this host (tcp_v4_rcv).
		if b.names[i].Pkttype == unix.PACKET_HOST {
			p := Packet{
				Data:      b.data[i][:h.received],
				IfIndex:   int(b.names[i].Ifindex),
				Truncated: h.Flags&unix.MSG_TRUNC != 0,
			}
			p.take(b.control[i][:h.Controllen])
			list = append(list, p)
		}
		b.reset(i)
	}
	return list
}

// take reads the control messages. They are walked here because package unix
// allocates when it parses them.
func (p *Packet) take(control []byte) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(control) {
			return
		}
		data := control[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			p.Time = (*unix.Timespec)(unsafe.Pointer(&data[0])).Nano()
		case h.Level == unix.SOL_PACKET && h.Type == unix.PACKET_AUXDATA && len(data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})):
			// Partial: the packet was built on this host, or merged by GRO,
			// which had verified the parts. Older kernels said VALID also where
			// the device had only given its sum, not judged it; newer ones do not.
			status := (*unix.TpacketAuxdata)(unsafe.Pointer(&data[0])).Status
			if status&(unix.TP_STATUS_CSUM_VALID|unix.TP_STATUS_CSUMNOTREADY) != 0 {
				p.Checksum = segment.ChecksumTrusted
			}
		}
		control = control[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(control)):]
	}
}
