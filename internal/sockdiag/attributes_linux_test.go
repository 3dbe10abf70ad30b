package sockdiag

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// option sets one of a socket.
type option struct{ level, name, value int }

func set(options ...option) func(string, string, syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		cerr := raw.Control(func(fd uintptr) {
			for _, o := range options {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
			}
		})
		return errors.Join(cerr, err)
	}
}

var (
	transparent4 = option{unix.SOL_IP, unix.IP_TRANSPARENT, 1}
	transparent6 = option{unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1}
)

// TestAttributes: what the kernel tells of a listener beside its address, each of which
// is set alone.
func TestAttributes(t *testing.T) {
	testenv.RequireRoot(t)
	lab := netlabtest.New(t, &netlab.Config{})
	var s0 *net.Interface
	in(t, lab.Server, func() (err error) {
		s0, err = net.InterfaceByName("s0")
		return err
	})
	bound := option{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, s0.Index}
	// Others of struct inet_diag_sockopt, so that no other bit is taken for it.
	others := []option{{unix.SOL_IP, unix.IP_RECVERR, 1}, {unix.SOL_IP, unix.IP_FREEBIND, 1}, {unix.SOL_IP, unix.IP_MULTICAST_ALL, 1},
		{unix.SOL_IP, unix.IP_MULTICAST_LOOP, 1}, {unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1}}
	for _, tt := range []struct {
		name, network, address string
		options                []option
		want                   Listener
	}{
		{"IPv4", "tcp4", "0.0.0.0:7001", nil, Listener{}},
		{"both families", "tcp", "[::]:7001", nil, Listener{}},
		{"IPv6 alone", "tcp6", "[::]:7001", nil, Listener{V6Only: true}},
		{"bound", "tcp4", "0.0.0.0:7001", []option{bound}, Listener{Interface: uint32(s0.Index)}},
		{"bound, IPv6 alone", "tcp6", "[::]:7001", []option{bound}, Listener{Interface: uint32(s0.Index), V6Only: true}},
		{"transparent", "tcp4", "0.0.0.0:7001", []option{transparent4}, Listener{Transparent: true}},
		{"transparent, IPv6 alone", "tcp6", "[::]:7001", []option{transparent6}, Listener{Transparent: true, V6Only: true}},
		{"other options", "tcp4", "0.0.0.0:7001", others, Listener{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ln net.Listener
			in(t, lab.Server, func() (err error) {
				config := net.ListenConfig{Control: set(tt.options...)}
				config.SetMultipathTCP(false)
				ln, err = config.Listen(context.Background(), tt.network, tt.address)
				return err
			})
			defer ln.Close()
			in(t, lab.Server, func() error {
				list, err := Listeners([]uint16{7001})
				if err != nil || len(list) != 1 {
					t.Fatalf("%+v, %v", list, err)
				}
				got := Listener{V6Only: list[0].V6Only, Interface: list[0].Interface, Transparent: list[0].Transparent}
				if got != tt.want {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
				return nil
			})
		})
	}
}

// TestTransparentSocket: a connection has it from its listener.
func TestTransparentSocket(t *testing.T) {
	testenv.RequireRoot(t)
	lab := netlabtest.New(t, &netlab.Config{})
	for port, options := range map[uint16][]option{7001: nil, 7002: {transparent4}} {
		want := len(options) > 0
		in(t, lab.Server, func() error {
			config := net.ListenConfig{Control: set(options...)}
			ln, err := config.Listen(context.Background(), "tcp4", fmt.Sprint("127.0.0.1:", port))
			if err != nil {
				return err
			}
			defer ln.Close()
			client, err := net.Dial("tcp4", ln.Addr().String())
			if err != nil {
				return err
			}
			defer client.Close()
			server, err := ln.Accept()
			if err != nil {
				return err
			}
			defer server.Close()
			list, err := Sockets([]uint16{port})
			if len(list) != 1 || list[0].Transparent != want || list[0].Interface != 0 {
				t.Errorf("%+v, want transparent: %v", list, want)
			}
			return err
		})
	}
}
