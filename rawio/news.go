package rawio

import (
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// newsSocket is a netlink socket in multicast groups: an *nl.NetlinkSocket. Receive waits for the
// next messages; an error, such as ENOBUFS, is of that call alone. Close has Receive return.
type newsSocket interface {
	Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error)
	Close()
}

// news receives the kernel's messages to multicast groups of a netlink family.
type news struct {
	socket  newsSocket
	deliver func([]syscall.NetlinkMessage)
	closing chan struct{}
	done    chan struct{}
}

// newsBuffer has room for the messages about some hundred changes at once, bytes.
const newsBuffer = 1 << 20

// openNews calls deliver, from one goroutine, with the kernel's messages, and with nil when some
// were lost: then anything that the groups are about may have changed. deliver must not block:
// messages that are not read in time are lost.
func openNews(family int, deliver func([]syscall.NetlinkMessage), groups ...uint) (*news, error) {
	socket, err := nl.Subscribe(family, groups...)
	if err != nil {
		return nil, err
	}
	// Without the privilege the default size has to do.
	_ = unix.SetsockoptInt(socket.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, newsBuffer)
	return readNews(socket, deliver), nil
}

// readNews is openNews with a socket that is open; close closes it.
func readNews(socket newsSocket, deliver func([]syscall.NetlinkMessage)) *news {
	n := &news{socket, deliver, make(chan struct{}), make(chan struct{})}
	go n.read()
	return n
}

func (n *news) close() {
	close(n.closing)
	n.socket.Close() // which wakes the reader
	<-n.done
}

func (n *news) read() {
	defer close(n.done)
	for {
		messages, from, err := n.socket.Receive()
		select {
		case <-n.closing:
			return
		default:
		}
		switch {
		case err != nil: // ENOBUFS, above all; the next one is read as before
			n.deliver(nil)
		case from.Pid == nl.PidKernel:
			n.deliver(messages)
		}
	}
}

// ring wakes the receiver of a channel with a buffer of one.
func ring(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
