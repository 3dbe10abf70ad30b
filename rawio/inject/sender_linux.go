package inject

import (
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

// sender is the raw socket of one address family.
type sender struct {
	conn   *socket.Conn
	raw    syscall.RawConn
	write  func(fd uintptr) bool // built once, so that sending does not allocate
	family int

	mu      sync.Mutex // guards all below, and the order of packets
	headers [maxBatch]mmsghdr
	iovecs  [maxBatch]unix.Iovec
	names4  [maxBatch]unix.RawSockaddrInet4
	names6  [maxBatch]unix.RawSockaddrInet6
	count   int // packets prepared
	done    int // of them, sent
	err     error
}

func openSender(family int) (*sender, error) {
	// IPPROTO_RAW: the socket receives nothing.
	conn, err := socket.Socket(family, unix.SOCK_RAW, unix.IPPROTO_RAW, "inject", nil)
	if err != nil {
		return nil, err
	}
	s := &sender{conn: conn, family: family}
	s.write = s.submit
	if s.raw, err = conn.SyscallConn(); err == nil {
		if family == unix.AF_INET {
			err = conn.SetsockoptInt(unix.IPPROTO_IP, unix.IP_HDRINCL, 1)
		} else {
			err = conn.SetsockoptInt(unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1)
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

// send sends up to maxBatch packets of the socket's family and returns how
// many were sent before the error.
func (s *sender) send(packets [][]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range packets {
		s.prepare(i, p)
	}
	s.count, s.done, s.err = len(packets), 0, nil
	err := s.raw.Write(s.write)
	for i := range packets {
		s.iovecs[i].Base = nil // the packets are the caller's again
	}
	if s.err != nil {
		err = s.err
	}
	return s.done, err
}

func (s *sender) prepare(i int, p []byte) {
	h := &s.headers[i]
	s.iovecs[i].Base = &p[0]
	s.iovecs[i].SetLen(len(p))
	h.Iov = &s.iovecs[i]
	h.SetIovlen(1)
	if s.family == unix.AF_INET {
		s.names4[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte(p[16:20])}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.names4[i])), unix.SizeofSockaddrInet4
	} else {
		s.names6[i] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: [16]byte(p[24:40])}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.names6[i])), unix.SizeofSockaddrInet6
	}
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
