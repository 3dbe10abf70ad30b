package rawio

import (
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/inject"
)

// TestDevice: the engine knows what the kernel has to say of an interface without rtnetlink,
// which may have it wait as long as anybody changes interfaces on this host.
func TestDevice(t *testing.T) {
	w := newLinksLab(t, false)
	must(t, netlink.LinkSetUp(w.link(inject.Loopback)))
	must(t, netlink.LinkSetMTU(w.link(w.a), 1400))
	must(t, netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun"}, Mode: netlink.TUNTAP_MODE_TUN}))
	tun, err := netlink.LinkByName("tun") // its packets have no Ethernet header
	must(t, err)
	must(t, netlink.LinkSetUp(tun))
	down, gone, without := w.add("down", 0), w.add("gone", 0), w.add("without", 0)
	for _, index := range []int{inject.Loopback, w.a, tun.Attrs().Index, down, gone} {
		must(t, w.gate.Attach(index))
	}
	must(t, netlink.LinkSetDown(w.link(down)))
	must(t, netlink.LinkDel(w.link(gone)))
	a, err := netlink.LinkByIndex(w.a)
	must(t, err)

	withoutNetlink(t, func() {
		for _, test := range []struct {
			name  string
			index int
			want  inject.Device
			ok    bool
		}{
			{"veth", w.a, inject.Device{Ethernet: true, MAC: [6]byte(a.Attrs().HardwareAddr), MTU: 1400}, true},
			{"loopback", inject.Loopback, inject.Device{Ethernet: true, MTU: 65536}, true},
			{"tun", tun.Attrs().Index, inject.Device{MTU: 1500}, true},
			{"down", down, inject.Device{}, false},
			{"gone", gone, inject.Device{}, false},
			{"without the gate", without, inject.Device{}, false},
		} {
			if d, ok := device(w.gate, test.index); ok != test.ok || ok && d != test.want {
				t.Errorf("%s: %+v, %v; want %+v, %v", test.name, d, ok, test.want, test.ok)
			}
		}
		if name := nameOf(w.a); name != "a" {
			t.Errorf("the name is %q", name)
		}
		if name := nameOf(99999); name != "interface 99999" {
			t.Errorf("the name of none is %q", name)
		}
	})
}

// TestHostAddresses: of an address with a peer it is the host's own that counts.
func TestHostAddresses(t *testing.T) {
	w := newLinksLab(t, false)
	must(t, netlink.LinkSetUp(w.link(inject.Loopback)))
	for _, text := range []string{"10.1.2.3/24", "fd00::3/64"} {
		addr, err := netlink.ParseAddr(text)
		must(t, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(w.link(w.a), addr))
	}
	for _, ends := range [][2]string{{"10.9.0.1/32", "10.9.0.2/32"}, {"fd09::1/128", "fd09::2/128"}} {
		addr, err := netlink.ParseAddr(ends[0])
		must(t, err)
		addr.Peer, err = netlink.ParseIPNet(ends[1])
		must(t, err)
		must(t, netlink.AddrAdd(w.link(w.a), addr))
	}
	var h addresses
	for text, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.1.2.4": false, "10.9.0.1": true, "10.9.0.2": false,
		"fd00::3": true, "fd00::4": false, "fd09::1": true, "fd09::2": false, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
	} {
		if got, err := h.has(netip.MustParseAddr(text)); err != nil || got != want {
			t.Errorf("%s is the host's own: %v, %v; want %v", text, got, err, want)
		}
	}
}

// withoutNetlink calls f on a thread in the same network namespace that can't send anything
// by a socket: seccomp(2) refuses it.
func withoutNetlink(t *testing.T, f func()) {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	defer here.Close()
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := netns.Set(here)
		if err == nil {
			err = refuse(unix.SYS_SENDTO, unix.SYS_SENDMSG)
		}
		if err == nil {
			if _, heard := netlink.LinkByIndex(inject.Loopback); heard == nil {
				err = errors.New("rtnetlink is not refused")
			}
		}
		if err == nil {
			f()
		}
		failed <- err
	}()
	must(t, <-failed)
}

// refuse has the kernel refuse system calls of the calling thread.
func refuse(calls ...uint32) error {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // seccomp_data.nr
	for _, nr := range calls {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: nr},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	all := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&all)), 0, 0)
}
