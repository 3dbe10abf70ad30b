package rawio

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// nftNews tells when nftables' rule sets of this network namespace change, whoever
// changes them. Of rules that iptables has made in its old way the kernel tells nothing.
type nftNews struct {
	*news
	changes chan struct{}
}

// nftGroup is NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const nftGroup = 7

// openNFTNews returns nil if the kernel does not tell: what has changed is found by trying
// again from time to time.
func openNFTNews() *nftNews {
	n := &nftNews{changes: make(chan struct{}, 1)}
	var err error
	if n.news, err = openNews(unix.NETLINK_NETFILTER, func([]syscall.NetlinkMessage) { ring(n.changes) }, nftGroup); err != nil {
		return nil
	}
	return n
}
