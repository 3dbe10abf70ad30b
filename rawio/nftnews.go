package rawio

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// nftNews tells when nftables' rule sets of this network namespace change, whoever
// changes them. Of rules that iptables has made in its old way the kernel tells nothing.
type nftNews struct {
	socket  *nl.NetlinkSocket
	changes chan struct{}
	closing chan struct{}
	done    chan struct{}
}

// nftGroup is NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const nftGroup = 7

// openNFTNews returns nil if the kernel does not tell: what has changed is found by trying
// again from time to time.
func openNFTNews() *nftNews {
	socket, err := nl.Subscribe(unix.NETLINK_NETFILTER, nftGroup)
	if err != nil {
		return nil
	}
	n := &nftNews{socket, make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
	go n.read()
	return n
}

func (n *nftNews) close() {
	close(n.closing)
	n.socket.Close() // which wakes the reader
	<-n.done
}

func (n *nftNews) read() {
	defer close(n.done)
	for {
		_, _, _ = n.socket.Receive() // that some were lost (ENOBUFS) is news, too
		select {
		case <-n.closing:
			return
		case n.changes <- struct{}{}:
		default:
		}
	}
}
