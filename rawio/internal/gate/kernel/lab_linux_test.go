package kernel

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// lab is two network namespaces and a veth pair:
//
//	server 10.77.0.1/24 ── a ════ b ── 10.77.0.2/24 client
//	       fd77::1/64                  fd77::2/64
//
// The test's goroutine is locked to its thread, which stays in the server's
// namespace except inside atClient. Both vanish with the thread.
type lab struct {
	server, client netns.NsHandle
	a, lo          int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	testenv.RequireRoot(t)
	keepNamespace(t)
	l := new(lab)
	var err error
	l.client, err = netns.New()
	must(t, err)
	l.server, err = netns.New()
	must(t, err)
	t.Cleanup(func() { l.client.Close(); l.server.Close() })
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b", PeerNamespace: netlink.NsFd(l.client),
	}))
	l.lo = up(t, "lo")
	l.a = up(t, "a", "10.77.0.1/24", "fd77::1/64")
	l.atClient(t, func() {
		up(t, "lo")
		up(t, "b", "10.77.0.2/24", "fd77::2/64")
	})
	return l
}

// keepNamespace locks the test to its thread, and takes both back to where they
// were in the end.
func keepNamespace(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	origin, err := netns.Get()
	must(t, err)
	t.Cleanup(func() {
		must(t, netns.Set(origin))
		origin.Close()
		runtime.UnlockOSThread()
	})
}

// enter takes a subtest into the server's namespace: it runs on a goroutine of
// its own.
func (l *lab) enter(t *testing.T) {
	t.Helper()
	keepNamespace(t)
	must(t, netns.Set(l.server))
}

func up(t testing.TB, name string, addrs ...string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	for _, addr := range addrs {
		a, err := netlink.ParseAddr(addr)
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(link, a))
	}
	must(t, netlink.LinkSetUp(link))
	return link.Attrs().Index
}

func (l *lab) atClient(t *testing.T, f func()) {
	t.Helper()
	must(t, netns.Set(l.client))
	defer func() { must(t, netns.Set(l.server)) }()
	f()
}

// clientSocket returns a TCP socket in the client's namespace.
func (l *lab) clientSocket(t *testing.T, to netip.Addr) (fd int) {
	t.Helper()
	family := unix.AF_INET
	if to.Is6() {
		family = unix.AF_INET6
	}
	l.atClient(t, func() {
		var err error
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
	})
	return fd
}

func connect(t *testing.T, fd int, to netip.Addr) net.Conn {
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: to.As16(), Port: servicePort}
	if to.Is4() {
		sa = &unix.SockaddrInet4{Addr: to.As4(), Port: servicePort}
	}
	if err := unix.Connect(fd, sa); err != nil {
		t.Error(err)
	}
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Error(err)
	}
	return c
}
