package rawio

import (
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// tcNews tells of changes of qdiscs and filters on this network namespace's interfaces
// (RTNLGRP_TC), whoever makes them. The kernel tells of a qdisc that is deleted without a
// word about its filters, and of tcx programs it tells nothing.
type tcNews struct {
	socket  *nl.NetlinkSocket
	changes chan int // indices of interfaces; 0: some news were lost
	closing chan struct{}
	done    chan struct{}
}

// tcNewsBuffer is room for the news of some thousand changes at once, bytes.
const tcNewsBuffer = 1 << 20

func openTCNews() (*tcNews, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_TC)
	if err != nil {
		return nil, err
	}
	// Who may not have so much does with the usual.
	_ = unix.SetsockoptInt(socket.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, tcNewsBuffer)
	n := &tcNews{socket, make(chan int, 64), make(chan struct{}), make(chan struct{})}
	go n.read()
	return n, nil
}

func (n *tcNews) close() {
	close(n.closing)
	n.socket.Close() // which wakes the reader
	<-n.done
}

func (n *tcNews) read() {
	defer close(n.done)
	for {
		messages, from, err := n.socket.Receive()
		select {
		case <-n.closing:
			return
		default:
		}
		if err != nil { // ENOBUFS, above all
			n.tell(0)
			continue
		}
		if from.Pid != 0 { // not the kernel
			continue
		}
		for _, m := range messages {
			// struct tcmsg: family and padding, then the index.
			if len(m.Data) >= 8 {
				n.tell(int(int32(binary.NativeEndian.Uint32(m.Data[4:]))))
			}
		}
	}
}

func (n *tcNews) tell(index int) {
	select {
	case n.changes <- index:
	case <-n.closing:
	}
}
