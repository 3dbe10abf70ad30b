package rawio

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// fakeLinks are a host's interfaces: eth0 at first.
type fakeLinks struct {
	mu     sync.Mutex // guards all and fails
	all    map[int]netlink.LinkAttrs
	fails  error
	waits  func(what string)
	closed bool
}

func newFakeLinks() *fakeLinks {
	l := &fakeLinks{all: map[int]netlink.LinkAttrs{}}
	l.add(rigLink, "eth0")
	return l
}

func (l *fakeLinks) add(index int, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[index] = netlink.LinkAttrs{Index: index, Name: name, RawFlags: unix.IFF_UP}
}

func (l *fakeLinks) remove(index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, index)
}

func (l *fakeLinks) LinkByIndex(index int) (netlink.Link, error) {
	if l.waits != nil {
		l.waits("LinkByIndex")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.all[index]
	switch {
	case l.fails != nil:
		return nil, l.fails
	case !ok:
		return nil, netlink.LinkNotFoundError{}
	}
	return &netlink.Dummy{LinkAttrs: a}, nil
}

func (l *fakeLinks) LinkByName(string) (netlink.Link, error) { return nil, errors.New("not asked for") }
func (l *fakeLinks) Close()                                  { l.closed = true }

func (l *fakeLinks) LinkList() (list []netlink.Link, err error) {
	if l.waits != nil {
		l.waits("LinkList")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.all {
		list = append(list, &netlink.Dummy{LinkAttrs: a})
	}
	return list, l.fails
}

// fakeNews is a socket that tells what a test lets the kernel say.
type fakeNews struct {
	told  chan told
	ended chan struct{}
}

type told struct {
	messages []syscall.NetlinkMessage
	from     uint32
	err      error
}

func newFakeNews() *fakeNews { return &fakeNews{told: make(chan told), ended: make(chan struct{})} }

func (n *fakeNews) Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error) {
	select {
	case t := <-n.told:
		return t.messages, &unix.SockaddrNetlink{Pid: t.from}, t.err
	case <-n.ended:
		return nil, nil, net.ErrClosed
	}
}

func (n *fakeNews) Close() { close(n.ended) }

// closed reports whether nobody listens any more.
func (n *fakeNews) closed() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// link says that something has happened to an interface.
func (n *fakeNews) link(kind uint16, index int) {
	data := make([]byte, 16)
	binary.NativeEndian.PutUint32(data[4:], uint32(index))
	n.told <- told{messages: []syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: kind}, Data: data}}}
}
