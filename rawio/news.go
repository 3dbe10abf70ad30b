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

// news tells what the kernel says to multicast groups of a netlink family.
type news struct {
	socket  newsSocket
	tell    func([]syscall.NetlinkMessage)
	closing chan struct{}
	done    chan struct{}
}

// newsBuffer is room for the news of some hundred changes at once, bytes.
const newsBuffer = 1 << 20

// openNews has tell called, by one goroutine, with what the kernel says, and with nil when
// some of it was lost: then whatever the groups are about may have changed. tell does not
// wait for those who act on it: what is not read meanwhile is lost in the end.
func openNews(family int, tell func([]syscall.NetlinkMessage), groups ...uint) (*news, error) {
	socket, err := nl.Subscribe(family, groups...)
	if err != nil {
		return nil, err
	}
	// Who may not have so much does with the usual.
	_ = unix.SetsockoptInt(socket.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, newsBuffer)
	return readNews(socket, tell), nil
}

// readNews is openNews with a socket that is open; close closes it.
func readNews(socket newsSocket, tell func([]syscall.NetlinkMessage)) *news {
	n := &news{socket, tell, make(chan struct{}), make(chan struct{})}
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
			n.tell(nil)
		case from.Pid == nl.PidKernel:
			n.tell(messages)
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
