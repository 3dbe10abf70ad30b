#!/usr/bin/env bash
# Which TCP sockets an exact look-up by inet_diag finds.
#
# Seen with Linux 6.18.44 and github.com/vishvananda/netlink v1.3.1 on 2026-11-28.
#
# Guessed: the four-tuple of an established connection names its socket, so that it can be
# looked up, or destroyed (SOCK_DESTROY), by that; and what a dump finds the exact
# look-up finds, too.
#
# What happens: the exact look-up also compares the interface, idiag_if, with the one that
# the socket is bound to, and 0 is not "any". The kernel binds both ends of a connection
# between IPv6 link-local addresses to their interface by itself. So a program that leaves
# idiag_if empty finds every connection when it lists, and then can neither look up nor
# destroy those: ENOENT. Sockets bound by SO_BINDTODEVICE are alike.
#
# Needs root, Go and iproute2. Everything happens in a network namespace of its own.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.24

require github.com/vishvananda/netlink v1.3.1
MOD
cat >main.go <<'GO'
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func main() {
	device, err := net.InterfaceByName("v0")
	check(err)
	for _, address := range []string{"2001:db8::1", "fe80::1%v0"} {
		l, err := net.Listen("tcp6", net.JoinHostPort(address, "0"))
		check(err)
		_, port, err := net.SplitHostPort(l.Addr().String())
		check(err)
		client, err := net.Dial("tcp6", net.JoinHostPort(address, port))
		check(err)
		_, err = l.Accept()
		check(err)
		local, remote := client.LocalAddr().(*net.TCPAddr), client.RemoteAddr().(*net.TCPAddr)
		_, err = netlink.SocketGet(local, remote) // a dump with a filter
		fmt.Printf("%-12s by dump: %-9s exact, interface 0: %-9s exact, its interface: %s\n", address,
			found(err), found(exact(local, remote, 0)), found(exact(local, remote, device.Index)))
	}
}

// exact asks for the one socket of the four-tuple.
func exact(local, remote *net.TCPAddr, ifindex int) error {
	b := []byte{unix.AF_INET6, unix.IPPROTO_TCP, 0, 0, 0xff, 0xff, 0xff, 0xff} // struct inet_diag_req_v2
	b = binary.BigEndian.AppendUint16(b, uint16(local.Port))
	b = binary.BigEndian.AppendUint16(b, uint16(remote.Port))
	b = append(append(b, local.IP.To16()...), remote.IP.To16()...)
	b = binary.NativeEndian.AppendUint32(b, uint32(ifindex))
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // any cookie
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	req.AddRawData(b)
	_, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
	return err
}

func found(err error) string {
	if errors.Is(err, unix.ENOENT) {
		return "ENOENT"
	}
	check(err)
	return "found"
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
go mod tidy >/dev/null 2>&1
go build -o finding .
cat >want <<'WANT'
2001:db8::1  by dump: found     exact, interface 0: found     exact, its interface: found
fe80::1%v0   by dump: found     exact, interface 0: ENOENT    exact, its interface: found
WANT
unshare -n sh -ec '
	ip link set lo up
	ip link add v0 type veth peer name v1
	ip addr add 2001:db8::1/64 dev v0 nodad
	ip addr add fe80::1/64 dev v0 nodad
	ip link set v1 up
	ip link set v0 up
	until ip -6 route get fe80::1 oif v0 2>/dev/null | grep -q ^local; do :; done
	exec ./finding' >got
uname -r
cat got
diff want got
