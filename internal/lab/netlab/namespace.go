package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where ip-netns(8) keeps its named namespaces, so that
// "ip netns exec" works on a lab while a test runs.
const namespaceDir = "/run/netns"

// Namespace is one network namespace of a lab.
type Namespace struct {
	name   string
	handle netns.NsHandle
	spawn  chan func() // work for the thread that starts processes
	close1 sync.Once
}

// Name returns the name under which "ip netns" knows the namespace.
func (n *Namespace) Name() string { return n.name }

func newNamespace(name string) (*Namespace, error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		return nil, err
	}
	defer home.Close()
	handle, err := newNamed(name)
	if back := netns.Set(home); back != nil {
		// The thread stays locked: it must never run anything else.
		return nil, fmt.Errorf("return from namespace %s: %w", name, back)
	}
	runtime.UnlockOSThread()
	if err != nil {
		return nil, fmt.Errorf("create namespace %s: %w", name, err)
	}
	n := &Namespace{name: name, handle: handle, spawn: make(chan func())}
	ready := make(chan error)
	go n.spawner(ready)
	if err := <-ready; err != nil {
		handle.Close()
		netns.DeleteNamed(name)
		return nil, err
	}
	if err := n.prepare(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// socketBuckets is the size of a namespace's own table of TCP sockets. The host's, which
// it would share, may have hundreds of thousands, and whoever lists the sockets of a
// namespace passes all of them.
const socketBuckets = "16384"

// newNamed makes a namespace and enters it. The thread must be locked, and be set
// back, after an error as well.
func newNamed(name string) (netns.NsHandle, error) {
	// A namespace's table is made by what the one says in which it is made: here one that
	// nobody else uses, and that goes when it is left.
	parent, err := netns.New()
	if err != nil {
		return netns.None(), err
	}
	defer parent.Close()
	err = os.WriteFile("/proc/sys/net/ipv4/tcp_child_ehash_entries", []byte(socketBuckets), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // since Linux 6.1
		return netns.None(), err
	}
	return netns.NewNamed(name)
}

// prepare raises the loopback interface and takes away what makes runs differ:
// duplicate address detection and metrics remembered between connections.
func (n *Namespace) prepare() error {
	for path, value := range map[string]string{
		"ipv6/conf/default/accept_dad":           "0",
		"ipv6/conf/default/router_solicitations": "0",
		"ipv4/tcp_no_metrics_save":               "1",
	} {
		if err := n.Sysctl(path, value); err != nil {
			return err
		}
	}
	h, err := netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	return h.LinkSetUp(lo)
}

// Sysctl writes a network setting of the namespace; path is relative to
// /proc/sys/net, for example "ipv4/tcp_timestamps".
func (n *Namespace) Sysctl(path, value string) error {
	return n.Run(func() error {
		return os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0)
	})
}

// Run calls f on a thread inside the namespace and returns what f returns.
// Sockets that f creates belong to the namespace for good and may be used
// anywhere afterwards. Goroutines that f starts do *not* run inside.
func (n *Namespace) Run(f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := netns.Set(n.handle); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", n.name, err)
	}
	// Deferred, because f may end the goroutine (testing.T.FailNow) or panic.
	defer func() {
		if err := netns.Set(home); err != nil {
			panic(fmt.Sprintf("netlab: return from namespace %s: %v", n.name, err))
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// DialContext is net.Dialer.DialContext inside the namespace; the address must
// be numeric. It fits http.Transport.DialContext.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	// A numeric address is dialled by the calling goroutine; a host name could
	// be dialled by helpers of package net on threads outside the namespace.
	err = n.Run(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Dial is DialContext without a context.
func (n *Namespace) Dial(network, address string) (net.Conn, error) {
	return n.DialContext(context.Background(), network, address)
}

// Listen is net.Listen inside the namespace.
func (n *Namespace) Listen(network, address string) (ln net.Listener, err error) {
	err = n.Run(func() error {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// spawner starts the namespace's processes. They are to die with this process
// (PDEATHSIG), which the kernel ties to the thread that started them: that
// thread must live as long as the lab.
func (n *Namespace) spawner(ready chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	err := netns.Set(n.handle)
	ready <- err
	if err != nil {
		return
	}
	for f := range n.spawn {
		f()
	}
}

func (n *Namespace) close() (err error) {
	n.close1.Do(func() {
		err = killInside(n.name)
		close(n.spawn)
		n.handle.Close()
		if e := netns.DeleteNamed(n.name); err == nil {
			err = e
		}
	})
	return err
}
