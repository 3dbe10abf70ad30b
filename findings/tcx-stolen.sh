#!/usr/bin/env bash
# What a tcx program's verdict does with a packet at egress.
#
# Seen with Linux 6.18.44 and github.com/cilium/ebpf v0.22.0 on 2026-11-28.
#
# Guessed: a program that was written for a clsact filter in direct-action mode can be
# attached by tcx unchanged, since both have the same context and the verdicts' numbers
# agree where tcx names them (TCX_PASS is TC_ACT_OK, TCX_DROP is TC_ACT_SHOT). So
# TC_ACT_STOLEN (4) would take the packet away and report success to its sender.
#
# What happens: tcx takes every verdict that it does not name for "next": what the program
# meant to steal (4) or queue (5) leaves the host. Its drop (2) is an error of the
# sender (ENOBUFS). Only a redirect to interface 0, which does not exist, frees the
# packet and says that it was sent.
#
# Needs root, Go and iproute2. Everything happens in a network namespace of its own.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.24

require github.com/cilium/ebpf v0.22.0
MOD
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

func main() {
	v0, err := net.InterfaceByName("v0")
	check(err)
	for _, v := range []struct {
		name    string
		verdict asm.Instructions
	}{
		{"0 pass", asm.Instructions{asm.Mov.Imm(asm.R0, 0)}},
		{"2 drop", asm.Instructions{asm.Mov.Imm(asm.R0, 2)}},
		{"4 TC_ACT_STOLEN", asm.Instructions{asm.Mov.Imm(asm.R0, 4)}},
		{"5 TC_ACT_QUEUED", asm.Instructions{asm.Mov.Imm(asm.R0, 5)}},
		{"redirect to 0", asm.Instructions{asm.Mov.Imm(asm.R1, 0), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call()}},
	} {
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.SchedCLS, License: "GPL", Instructions: append(v.verdict, asm.Return()),
		})
		check(err)
		l, err := link.AttachTCX(link.TCXOptions{Interface: v0.Index, Program: prog, Attach: ebpf.AttachTCXEgress})
		check(err)
		before := received()
		sent := send(v0.Index)
		fmt.Printf("%-16s sender: %-9s peer received: %d\n", v.name, sent, received()-before)
		check(l.Close())
		prog.Close()
	}
}

// send gives the interface one frame of a protocol that nobody speaks.
func send(ifindex int) string {
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	check(err)
	defer syscall.Close(fd)
	frame := make([]byte, 60)
	for i := range 6 {
		frame[i] = 0xff
	}
	frame[12], frame[13] = 0x88, 0xb5 // for local experiments
	err = syscall.Sendto(fd, frame, 0, &syscall.SockaddrLinklayer{Ifindex: ifindex})
	var errno syscall.Errno
	switch {
	case err == nil:
		return "success"
	case errors.As(err, &errno) && errno == syscall.ENOBUFS:
		return "ENOBUFS"
	}
	return err.Error()
}

// received is how many frames the other end of the veth pair has got: it does so
// before send returns.
func received() int {
	b, err := os.ReadFile("/proc/net/dev")
	check(err)
	for _, line := range strings.Split(string(b), "\n") {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == "v1" {
			n, err := strconv.Atoi(strings.Fields(rest)[1])
			check(err)
			return n
		}
	}
	log.Fatal("there is no interface v1")
	return 0
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
0 pass           sender: success   peer received: 1
2 drop           sender: ENOBUFS   peer received: 0
4 TC_ACT_STOLEN  sender: success   peer received: 1
5 TC_ACT_QUEUED  sender: success   peer received: 1
redirect to 0    sender: success   peer received: 0
WANT
unshare -nm sh -ec '
	mount -t proc proc /proc
	echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
	ip link add v0 type veth peer name v1
	ip link set v0 up
	ip link set v1 up
	exec ./finding' >got
uname -r
cat got
diff want got
