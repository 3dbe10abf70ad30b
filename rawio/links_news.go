package rawio

import (
	"encoding/binary"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// linkNews collects the changes of interfaces of this network namespace, whoever makes them: that
// interfaces come, go and change (RTNLGRP_LINK), and qdiscs and filters on them (RTNLGRP_TC).
// If a qdisc is deleted, the kernel does not report its filters, and
// it reports nothing about tcx programs.
//
// The present state of an interface must be queried: a notification may be old. linkNews only collects
// which interfaces have to be checked, so its size is bounded however late that happens.
type linkNews struct {
	*news
	wake chan struct{} // there is something new

	mu   sync.Mutex // guards what follows
	lost bool       // anything may have changed
	all  map[int]linkChange
}

// linkChange is what has changed at an interface.
type linkChange struct {
	gone bool // it was not there for a while at least
	tc   bool // a qdisc or filter on it has changed
}

func openLinkNews() (n *linkNews, err error) {
	n = &linkNews{wake: make(chan struct{}, 1), all: map[int]linkChange{}}
	n.news, err = openNews(unix.NETLINK_ROUTE, n.note, unix.RTNLGRP_LINK, unix.RTNLGRP_TC)
	return n, err
}

func (n *linkNews) note(messages []syscall.NetlinkMessage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = n.lost || messages == nil
	for _, m := range messages {
		// struct ifinfomsg and struct tcmsg have the family first, and the index at 4.
		if len(m.Data) < 8 {
			continue
		}
		index := int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
		c := n.all[index]
		switch m.Header.Type {
		case unix.RTM_NEWLINK:
		case unix.RTM_DELLINK:
			// A bridge sends one in its own family when the interface leaves it.
			c.gone = c.gone || m.Data[0] == unix.AF_UNSPEC
		default:
			c.tc = true
		}
		n.all[index] = c
	}
	ring(n.wake)
}

// take returns what has changed since the last call. If lost, notifications were lost and there
// may be more changes.
func (n *linkNews) take() (all map[int]linkChange, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all, lost = n.all, n.lost
	n.all, n.lost = map[int]linkChange{}, false
	return all, lost
}
