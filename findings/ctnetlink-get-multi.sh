#!/usr/bin/env bash
# The end of ctnetlink's answer to a request for one entry.
#
# Seen with Linux 6.18.44 and github.com/vishvananda/netlink v1.3.1 on 2026-11-28.
#
# Guessed: a request for a single object without NLM_F_DUMP is answered by a single message,
# as rtnetlink does it. A message with NLM_F_MULTI is one of several, and NLMSG_DONE
# ends them (netlink(7)).
#
# What happens: the answer to IPCTNL_MSG_CT_GET of one tuple has NLM_F_MULTI set, and no
# NLMSG_DONE follows. A library that reads on until the end waits until its time-out: with
# the entry in its hands it returns an error. With NLM_F_ACK the acknowledgment ends it.
#
# Needs root and Go. Everything happens in a network namespace of its own.
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
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

var client, server = net.IPv4(192, 0, 2, 1).To4(), net.IPv4(192, 0, 2, 2).To4()

func main() {
	check(netlink.ConntrackCreate(netlink.ConntrackTable, unix.AF_INET, &netlink.ConntrackFlow{
		FamilyType: unix.AF_INET,
		Forward:    netlink.IPTuple{SrcIP: client, DstIP: server, SrcPort: 40000, DstPort: 80, Protocol: unix.IPPROTO_TCP},
		Reverse:    netlink.IPTuple{SrcIP: server, DstIP: client, SrcPort: 80, DstPort: 40000, Protocol: unix.IPPROTO_TCP},
		TimeOut:    100, ProtoInfo: &netlink.ProtoInfoTCP{State: nl.TCP_CONNTRACK_ESTABLISHED},
	}))
	nl.SocketTimeoutTv = unix.Timeval{Sec: 2}
	for _, flags := range []struct {
		name  string
		value int
	}{{"no flag", 0}, {"NLM_F_ACK", unix.NLM_F_ACK}} {
		answers, err := request(flags.value).Execute(unix.NETLINK_NETFILTER, 0)
		end := "complete"
		if errors.Is(err, unix.EAGAIN) {
			end = "waited until the time-out"
		} else {
			check(err)
		}
		fmt.Printf("%-9s  NLM_F_MULTI in the answer: %v, %s, entries returned: %d\n", flags.name, multi(flags.value), end, len(answers))
	}
}

// request asks for the entry.
func request(flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	tuple := nl.NewRtAttr(nl.CTA_TUPLE_ORIG|unix.NLA_F_NESTED, nil)
	ip := tuple.AddRtAttr(nl.CTA_TUPLE_IP|unix.NLA_F_NESTED, nil)
	ip.AddRtAttr(nl.CTA_IP_V4_SRC, client)
	ip.AddRtAttr(nl.CTA_IP_V4_DST, server)
	proto := tuple.AddRtAttr(nl.CTA_TUPLE_PROTO|unix.NLA_F_NESTED, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{unix.IPPROTO_TCP})
	proto.AddRtAttr(nl.CTA_PROTO_SRC_PORT, []byte{40000 >> 8, 40000 & 0xff})
	proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, []byte{0, 80})
	req.AddData(tuple)
	return req
}

// multi is whether the first message of the answer has the flag.
func multi(flags int) bool {
	s, err := nl.Subscribe(unix.NETLINK_NETFILTER)
	check(err)
	defer s.Close()
	check(s.Send(request(flags)))
	messages, _, err := s.Receive()
	check(err)
	return messages[0].Header.Flags&unix.NLM_F_MULTI != 0
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
no flag    NLM_F_MULTI in the answer: true, waited until the time-out, entries returned: 0
NLM_F_ACK  NLM_F_MULTI in the answer: true, complete, entries returned: 1
WANT
unshare -n ./finding >got
uname -r
cat got
diff want got
