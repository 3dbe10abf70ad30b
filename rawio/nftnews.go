package rawio

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// nftNews reports when nftables' rule sets of this network namespace change, whoever
// changes them. The kernel does not report changes by legacy iptables.
type nftNews struct {
	*news
	changes chan struct{}
}

// nftGroup is NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const nftGroup = 7

// openNFTNews returns nil if the kernel does not report changes: then they are found by the periodic
// trials.
func openNFTNews() *nftNews {
	n := &nftNews{changes: make(chan struct{}, 1)}
	var err error
	if n.news, err = openNews(unix.NETLINK_NETFILTER, func([]syscall.NetlinkMessage) { ring(n.changes) }, nftGroup); err != nil {
		return nil
	}
	return n
}
