package e2e

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/status"
)

// dialWith dials from the client's namespace with a dialer of the test's.
func (r *rig) dialWith(d net.Dialer) *client {
	r.t.Helper()
	return r.dialTo(func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = r.lab.Client.Run(func() error {
			c, err = d.DialContext(ctx, network, address)
			return err
		})
		return c, err
	}, probeAddress)
}

func (r *rig) waitStripped() {
	r.t.Helper()
	r.waitStatus("the option is stripped", func(d *status.Document) bool { return d.Gate.Reasons["syn_stripped"] > 0 })
}

// TestMultipathClient: the connection is an ordinary one, and protected.
func TestMultipathClient(t *testing.T) {
	t.Parallel()
	testenv.RequireRoot(t)
	if _, err := os.Stat("/proc/sys/net/mptcp/enabled"); err != nil {
		t.Log("the kernel has no MPTCP, so no client of this machine can ask for it")
		return
	}
	r := probe(t, options{})
	var d net.Dialer
	d.SetMultipathTCP(true)
	c := r.dialWith(d)
	c.echo("before")
	r.waitStripped()
	if multi, err := c.Conn.(*net.TCPConn).MultipathTCP(); multi || err != nil {
		t.Errorf("multipath %v, %v", multi, err)
	}
	for range 3 {
		r.crash()
		c.echo("after")
	}
	c.send("half")
	c.expectEOF()
}

// TestFastOpenClient: with a cookie request, and with data in the SYN, which a
// server may accept without a cookie.
func TestFastOpenClient(t *testing.T) {
	t.Parallel()
	for name, sysctl := range map[string]struct {
		client, server string
		option         bool
	}{
		"cookie request": {"1", "3", true},
		"data in SYN":    {"5", "1539", false}, // without cookies (0x4), and accepted so by all listeners (0x603)
	} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, options{})
			sysctls(t, r.lab.Client, map[string]string{"tcp_fastopen": sysctl.client})
			sysctls(t, r.lab.Server, map[string]string{"tcp_fastopen": sysctl.server})
			r.spawn(options{}, "probe", "-listen", ":7002")
			for range 3 {
				c := r.fastOpen()
				c.echo("before")
				r.crash()
				c.echo("after")
				c.Close()
			}
			if sysctl.option {
				r.waitStripped()
			}
		})
	}
}

// fastOpen returns a connection whose first Write sends the SYN.
func (r *rig) fastOpen() *client {
	r.t.Helper()
	fd := -1
	err := r.lab.Client.Run(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1); err != nil {
			return err
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: 7002, Addr: [4]byte{10, 77, 0, 2}})
		if errors.Is(err, syscall.EINPROGRESS) {
			err = nil
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "client")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return &client{t: r.t, Conn: conn, in: bufio.NewReader(conn)}
}
