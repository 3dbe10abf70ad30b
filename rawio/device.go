package rawio

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/inject"
)

// The engine queries interfaces with its lock held, and therefore by ioctl(2): rtnetlink waits
// for the kernel's rtnl lock, which is held while interfaces change anywhere on this host, in
// any network namespace, and every packet would wait as well.

// deviceOf returns inject.Config.Device.
func deviceOf(g attachments) func(index int) (inject.Device, bool) {
	return func(index int) (inject.Device, bool) { return device(g, index) }
}

func device(g attachments, index int) (d inject.Device, ok bool) {
	if !g.Attached(index) {
		return d, false
	}
	r, err := newRequest(index)
	if err != nil {
		return d, false
	}
	defer r.close()
	up, err := r.flags()
	if err != nil || up&unix.IFF_UP == 0 {
		return d, false
	}
	if d.MTU, err = r.mtu(); err != nil {
		return d, false
	}
	kind, addr, err := r.address()
	if err != nil {
		return d, false
	}
	if kind == unix.ARPHRD_ETHER || kind == unix.ARPHRD_LOOPBACK {
		d.Ethernet, d.MAC = true, addr
	}
	// The answers are for a name, which another interface may have got meanwhile.
	now, err := r.index()
	return d, err == nil && now == index
}

func nameOf(index int) string {
	r, err := newRequest(index)
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	defer r.close()
	return unix.ByteSliceToString(r.name[:])
}

// request is a query about an interface: struct ifreq (netdevice(7)), and the socket for the
// ioctl.
type request struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte // a union
	fd   int
}

// newRequest returns a request about the interface that has an index now. The caller must close it.
func newRequest(index int) (r *request, err error) {
	r = new(request)
	if r.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, err
	}
	*(*int32)(unsafe.Pointer(&r.data)) = int32(index)
	if err := r.ask(unix.SIOCGIFNAME); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *request) close() { unix.Close(r.fd) }

func (r *request) ask(what uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(r.fd), what, uintptr(unsafe.Pointer(r))); errno != 0 {
		return errno
	}
	return nil
}

func (r *request) flags() (int, error) {
	err := r.ask(unix.SIOCGIFFLAGS)
	return int(*(*uint16)(unsafe.Pointer(&r.data))), err
}

func (r *request) mtu() (int, error) {
	err := r.ask(unix.SIOCGIFMTU)
	return int(*(*int32)(unsafe.Pointer(&r.data))), err
}

func (r *request) index() (int, error) {
	err := r.ask(unix.SIOCGIFINDEX)
	return int(*(*int32)(unsafe.Pointer(&r.data))), err
}

// address returns the hardware address, as one of Ethernet, and the type (ARPHRD_ETHER, ...).
func (r *request) address() (kind int, addr [6]byte, err error) {
	err = r.ask(unix.SIOCGIFHWADDR)
	a := (*unix.RawSockaddr)(unsafe.Pointer(&r.data))
	for i := range addr {
		addr[i] = byte(a.Data[i])
	}
	return int(a.Family), addr, err
}
