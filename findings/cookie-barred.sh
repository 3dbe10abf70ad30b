#!/usr/bin/env bash
# A SYN cookie whose third ACK finds a half-open socket.
#
# Seen with Linux 6.18, iproute2 6.1.0 and github.com/google/gopacket v1.1.19 on 2026-11-30.
#
# Guessed: the third ACK of a valid SYN cookie makes a connection. Whether the listener has
# meanwhile answered a copy of the same SYN in the ordinary way, because its queue had room
# again, makes no difference, or the newer answer gives way.
#
# What happens: the client knows the cookie's number only, for the SYN-ACK of the copy is out of
# its window, and what it says is checked and found to be a valid cookie. But there is a
# half-open socket of the same addresses and ports, and the kernel makes no second one: it drops
# the ACK, and all data that repeats it, without an answer. Only when the half-open socket is
# gone (63 s after the copy, by the defaults) the next repetition makes the
# connection. To the client it is established all the time.
#
# Needs root, Go and iproute2. Everything happens in two network namespaces
# of the script's own.
set -euo pipefail

dir=$(mktemp -d)
server=finding-$$-s client=finding-$$-c
trap 'ip netns del "$server" 2>/dev/null || true; ip netns del "$client" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.24

require github.com/google/gopacket v1.1.19
MOD
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	clientIP, serverIP = net.IPv4(10, 9, 0, 9), net.IPv4(10, 9, 0, 1)
	from, to           net.HardwareAddr
	wire, ifindex      int
)

// main has the server's namespace, but for the socket that the client has opened before.
func main() {
	if len(os.Args) > 1 {
		link, err := net.InterfaceByName("c0")
		check(err)
		fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0x0008) // ETH_P_IP
		check(err)
		check(syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: 0x0008, Ifindex: link.Index}))
		server := exec.Command("ip", "netns", "exec", os.Args[1], "/proc/self/exe")
		server.Args[4], err = os.Executable()
		check(err)
		server.Env = append(os.Environ(), "FROM="+link.HardwareAddr.String(), fmt.Sprint("IFINDEX=", link.Index))
		server.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "wire")}
		server.Stdout, server.Stderr = os.Stdout, os.Stderr
		check(server.Run())
		return
	}
	link, err := net.InterfaceByName("s0")
	check(err)
	to = link.HardwareAddr
	from, err = net.ParseMAC(os.Getenv("FROM"))
	check(err)
	fmt.Sscan(os.Getenv("IFINDEX"), &ifindex)
	wire = 3
	check(syscall.SetsockoptTimeval(wire, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 1}))
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: serverIP, Port: 7000})
	check(err)

	cookies("2") // as if the queue were full
	cookie := say(layers.TCP{SYN: true, Seq: 100}, "")
	fmt.Println("SYN:", answer(cookie))
	cookies("1") // it has room again
	again := say(layers.TCP{SYN: true, Seq: 100}, "")
	fmt.Println("its copy:", answer(again)+", the same number:", again.Seq == cookie.Seq)
	third := layers.TCP{ACK: true, PSH: true, Seq: 101, Ack: cookie.Seq + 1}
	for range 2 {
		fmt.Println("third ACK of the first, with data:", answer(say(third, "hello"))+",", accept(l))
	}
	check(exec.Command("ss", "-K", "state", "syn-recv").Run())
	fmt.Println("the half-open socket is removed")
	fmt.Println("third ACK of the first, with data:", answer(say(third, "hello"))+",", accept(l))
}

func cookies(value string) {
	check(os.WriteFile("/proc/sys/net/ipv4/tcp_syncookies", []byte(value), 0o644))
}

func say(t layers.TCP, data string) *layers.TCP {
	e := layers.Ethernet{SrcMAC: from, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: clientIP, DstIP: serverIP}
	t.SrcPort, t.DstPort, t.Window = 40000, 7000, 8000
	check(t.SetNetworkLayerForChecksum(&ip))
	b := gopacket.NewSerializeBuffer()
	check(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, &e, &ip, &t, gopacket.Payload(data)))
	check(syscall.Sendto(wire, b.Bytes(), 0, &syscall.SockaddrLinklayer{Ifindex: ifindex}))
	for frame := make([]byte, 2000); ; {
		n, err := syscall.Read(wire, frame)
		if errors.Is(err, syscall.EAGAIN) {
			return nil
		}
		check(err)
		p := gopacket.NewPacket(frame[:n], layers.LayerTypeEthernet, gopacket.Default)
		a, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		// A half-open socket repeats its SYN-ACK by a timer.
		if ok && a.SrcPort == 7000 && (t.SYN || !a.SYN) {
			return a
		}
	}
}

func answer(t *layers.TCP) string {
	if t == nil {
		return "no answer"
	}
	return fmt.Sprintf("SYN %v ACK %v of %d", t.SYN, t.ACK, t.Ack)
}

func accept(l *net.TCPListener) string {
	check(l.SetDeadline(time.Now().Add(100 * time.Millisecond)))
	c, err := l.Accept()
	if err != nil {
		return "nothing to accept"
	}
	b := make([]byte, 10)
	n, err := c.Read(b)
	check(err)
	return fmt.Sprintf("accepted, %q", b[:n])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
go mod tidy 2>/dev/null
go build -o finding .

ip netns add "$server"
ip netns add "$client"
ip -n "$server" link add s0 type veth peer name c0 netns "$client"
ip -n "$server" address add 10.9.0.1/24 dev s0
ip -n "$server" link set s0 up
ip -n "$client" link set c0 up
mac=$(ip -n "$client" -br link show c0 | awk "{print \$3}")
ip -n "$server" neigh replace 10.9.0.9 lladdr "$mac" dev s0 # an address that no kernel owns

seen=$(ip netns exec "$client" ./finding "$server")
echo "$seen"
diff - <(echo "$seen") <<'SEEN'
SYN: SYN true ACK true of 101
its copy: SYN true ACK true of 101, the same number: false
third ACK of the first, with data: no answer, nothing to accept
third ACK of the first, with data: no answer, nothing to accept
the half-open socket is removed
third ACK of the first, with data: SYN false ACK true of 106, accepted, "hello"
SEEN
