package e2e

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// tunnel puts the lab's addresses on TUN devices, which carry bare IP packets, with a
// program that takes the packets from one end to the other.
func tunnel(r *rig) site {
	shell(r.t, r.lab.Client, "ip addr flush dev c0 scope global")
	shell(r.t, r.lab.Server, "ip addr flush dev s0 scope global")
	client, server := openTUN(r.t, r.lab.Client), openTUN(r.t, r.lab.Server)
	shell(r.t, r.lab.Client, "ip addr add 10.77.0.1/24 dev tun0; ip addr add fd77::1/64 dev tun0 nodad; ip link set tun0 up")
	shell(r.t, r.lab.Server, "ip addr add 10.77.0.2/24 dev tun0; ip addr add fd77::2/64 dev tun0 nodad; ip link set tun0 up")
	go carry(r.t, client, server)
	go carry(r.t, server, client)
	return site{direct.address, "tun0"}
}

// carry takes packets from one end to the other until one of them is closed.
func carry(t testing.TB, from, to *os.File) {
	packet := make([]byte, 1<<16)
	for {
		n, err := from.Read(packet)
		if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			_, err = to.Write(packet[:n])
		}
		// A device that is not up yet, or not any more, takes and gives nothing.
		if err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, os.ErrClosed) {
			t.Errorf("tunnel: %v", err)
			return
		}
	}
}

// openTUN makes the device tun0 of a host; it goes with the file, at the test's end.
func openTUN(t testing.TB, ns *netlab.Namespace) *os.File {
	t.Helper()
	var file *os.File
	err := ns.Run(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq("tun0")
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			unix.Close(fd)
			return err
		}
		file = os.NewFile(uintptr(fd), "tun0") // in the runtime's poller only now: it belongs to the device
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}
