package inject

import (
	"encoding/binary"
	"errors"
	"sync"
	"syscall"
	"unsafe"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"
)

// maxBatch is the number of packets in one sendmmsg(2).
const maxBatch = 64

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	unix.Msghdr
	sent uint32
}

// sender is a raw socket of one address family, or a packet socket.
type sender struct {
	conn    *socket.Conn
	raw     syscall.RawConn
	write   func(fd uintptr) bool // built once, so that sending does not allocate
	family  int
	devices *devices // of a packet socket
	turns   bool     // of a packet socket: to the server

	mu       sync.Mutex // guards all below, and the order of packets
	headers  [maxBatch]mmsghdr
	iovecs   [maxBatch][2]unix.Iovec
	names    [maxBatch]name
	frames   [maxBatch][14]byte
	controls [maxBatch]control
	count    int // packets prepared
	done     int // of them, sent
	err      error
}

// name is where a packet goes.
type name struct {
	v4   unix.RawSockaddrInet4
	v6   unix.RawSockaddrInet6
	link unix.RawSockaddrLinklayer
}

func openSender(family int) (*sender, error) {
	// Neither IPPROTO_RAW nor protocol 0 of packet sockets receives anything.
	protocol := unix.IPPROTO_RAW
	if family == unix.AF_PACKET {
		protocol = 0
	}
	conn, err := socket.Socket(family, unix.SOCK_RAW, protocol, "inject", nil)
	if err != nil {
		return nil, err
	}
	s := &sender{conn: conn, family: family}
	s.write = s.submit
	if s.raw, err = conn.SyscallConn(); err == nil {
		switch family {
		case unix.AF_INET:
			err = conn.SetsockoptInt(unix.IPPROTO_IP, unix.IP_HDRINCL, 1)
		case unix.AF_INET6:
			// Without the latter the route could not be asked for with a source
			// address that is not this host's.
			err = errors.Join(conn.SetsockoptInt(unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1),
				conn.SetsockoptInt(unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// cookie is the kernel's name of the socket.
func (s *sender) cookie() (c uint64, err error) {
	controlErr := s.raw.Control(func(fd uintptr) { c, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE) })
	return c, errors.Join(controlErr, err)
}

// send sends up to maxBatch packets that are for this socket and returns how
// many were sent before the error.
func (s *sender) send(packets []Packet) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range packets {
		s.prepare(i, &packets[i])
	}
	s.count, s.done, s.err = len(packets), 0, nil
	err := s.raw.Write(s.write)
	for i := range packets {
		s.iovecs[i][1].Base = nil // the packets are the caller's again
	}
	if s.err != nil {
		err = s.err
	}
	return s.done, err
}

func (s *sender) prepare(i int, p *Packet) {
	h, v, n := &s.headers[i], &s.iovecs[i], &s.names[i]
	v[1].Base = &p.Data[0]
	v[1].SetLen(len(p.Data))
	h.Iov = &v[1]
	h.SetIovlen(1)
	switch s.family {
	case unix.AF_INET:
		n.v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: destination(p.Data).As4()}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&n.v4)), unix.SizeofSockaddrInet4
	case unix.AF_INET6:
		dst := destination(p.Data)
		n.v6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: dst.As16()}
		if dst.IsLinkLocalUnicast() {
			n.v6.Scope_id = uint32(p.Way.Device)
		}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&n.v6)), unix.SizeofSockaddrInet6
	default:
		s.frame(i, p)
	}
	c := s.controls[i].of(s.family, p)
	h.Control, h.Controllen = nil, 0
	if len(c) > 0 {
		h.Control = &c[0]
		h.SetControllen(len(c))
	}
}

// frame prepares what a packet socket sends.
func (s *sender) frame(i int, p *Packet) {
	h, v, n := &s.headers[i], &s.iovecs[i], &s.names[i]
	etherType := uint16(unix.ETH_P_IP)
	if p.Data[0]>>4 == 6 {
		etherType = unix.ETH_P_IPV6
	}
	frame, length, by := s.devices.header(p.Way.Device, s.turns, etherType)
	if length > 0 {
		s.frames[i] = frame
		v[0].Base = &s.frames[i][0]
		v[0].SetLen(length)
		h.Iov = &v[0]
		h.SetIovlen(2)
	}
	n.link = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: htons(etherType), Ifindex: int32(by)}
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&n.link)), unix.SizeofSockaddrLinklayer
}

// submit sends what is left. It returns false to be called again when the
// socket has room.
func (s *sender) submit(fd uintptr) bool {
	for s.done < s.count {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.headers[s.done])),
			uintptr(s.count-s.done), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			s.done += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			s.err = errno
			return true
		}
	}
	return true
}

// htons returns v as a big-endian number in the machine's order.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
