package tap

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
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
	data    []byte // not of the Go heap: most of it is never touched
	// split takes a packet apart: its header, what follows, which is rest, and
	// what rest has no room for, which lies where Join would put it.
	split [3]unix.Iovec
	rest  []byte
}

// bufferSize is the room for one packet in data: MaxPacket, in whole pages.
const bufferSize = MaxPacket

func newBuffers(n int) (*buffers, error) {
	data, err := unix.Mmap(-1, 0, n*bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	b := &buffers{
		headers: make([]mmsghdr, n),
		iovecs:  make([]unix.Iovec, n),
		names:   make([]unix.RawSockaddrLinklayer, n),
		control: make([][controlSize]byte, n),
		data:    data,
	}
	runtime.AddCleanup(b, func(data []byte) { _ = unix.Munmap(data) }, data)
	for i := range b.headers {
		b.iovecs[i].Base = &b.buffer(i)[0]
		b.iovecs[i].SetLen(bufferSize)
		h := &b.headers[i]
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Control = &b.control[i][0]
		b.reset(i)
	}
	return b, nil
}

// buffer is the room for packet i.
func (b *buffers) buffer(i int) []byte { return b.data[i*bufferSize:][:bufferSize:bufferSize] }

// reset restores the fields of a header that the kernel overwrites.
func (b *buffers) reset(i int) {
	h := &b.headers[i]
	h.Iov = &b.iovecs[i]
	h.SetIovlen(1)
	h.Namelen = unix.SizeofSockaddrLinklayer
	h.SetControllen(controlSize)
	h.Flags = 0
}

// receive takes what is queued, without blocking.
func (b *buffers) receive(fd int) (int, error) { return b.receiveInto(fd, b.headers) }

// receiveSplit takes one packet apart.
func (b *buffers) receiveSplit(fd, header int, rest []byte) (int, error) {
	data := b.buffer(0)
	rest = rest[:min(len(rest), bufferSize-header-1)]
	b.split[0].Base = &data[0]
	b.split[0].SetLen(header)
	b.split[1].Base = &rest[0]
	b.split[1].SetLen(len(rest))
	over := data[header+len(rest):]
	b.split[2].Base = &over[0]
	b.split[2].SetLen(len(over))
	h := &b.headers[0]
	h.Iov = &b.split[0]
	h.SetIovlen(len(b.split))
	n, err := b.receiveInto(fd, b.headers[:1])
	if err != nil {
		b.reset(0)
		return n, err
	}
	b.rest = rest
	return n, nil
}

func (b *buffers) receiveInto(fd int, headers []mmsghdr) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
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
				Data:      b.buffer(i),
				IfIndex:   int(b.names[i].Ifindex),
				Truncated: h.Flags&unix.MSG_TRUNC != 0,
			}
			b.cut(&p, h)
			p.take(b.control[i][:h.Controllen])
			list = append(list, p)
		}
		b.reset(i)
	}
	return list
}

// cut gives a packet its length.
func (b *buffers) cut(p *Packet, h *mmsghdr) {
	n := int(h.received)
	if int(h.Iovlen) == len(b.split) {
		header := int(b.split[0].Len)
		switch {
		case n > header+len(b.rest): // longer than expected
			copy(p.Data[header:], b.rest)
		case n > header:
			p.Data, p.Rest = p.Data[:header], b.rest[:n-header]
			return
		}
	}
	p.Data = p.Data[:n]
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
