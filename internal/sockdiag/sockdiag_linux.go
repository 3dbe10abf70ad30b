package sockdiag

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

// Destroy removes exactly the connection of flow from the kernel, in whichever
// state it is, TIME_WAIT and SYN_RECV included; a listener never. Flow.Server
// is the local end. A process that still holds the socket reads ECONNABORTED.
// In a synchronized state the kernel sends an RST, which the gate has to hold.
// It needs CAP_NET_ADMIN, and acts in the calling thread's network namespace.
// A socket that is bound to a device, as those of link-local addresses are, is found
// only if the device is one of devices, which are indexes; 0 is passed over.
// The error is ErrNotFound, ErrNotSupported or one of the system.
func Destroy(flow segment.Flow, devices ...int) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	// Where no connection matches, the kernel's lookup falls back to the
	// listener. So the exact socket is looked up first and destroyed by its
	// cookie, which no other socket ever has.
	found, request, err := c.find(flow, devices)
	if err != nil {
		return err
	}
	request.ID.Cookie = found.ID.Cookie
	switch err := c.acknowledged(unix.SOCK_DESTROY, request); {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESTALE):
		return ErrNotFound
	default:
		return unsupported(err)
	}
}

// List returns the connections, in all states, whose local port is one of
// ports; none means every port. Listeners are not connections. It acts in the
// calling thread's network namespace. Connections that begin or end meanwhile
// may be missing.
func List(ports []uint16) (map[segment.Flow]State, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list := make(map[segment.Flow]State)
	if err := c.each(ports, all, func(m *message, _ []byte) { list[m.flow()] = m.State }); err != nil {
		return nil, err
	}
	return list, nil
}

// all is the bit set of every State, lasting that without TIME_WAIT: a busy server has
// many thousands of these, and they are nobody's any more.
const (
	all     = ^uint32(0)
	lasting = all &^ (1 << TimeWait)
)

// Sockets is List with what else is known of each connection, in no order, but for those
// in TIME_WAIT.
func Sockets(ports []uint16) (list []Socket, err error) {
	w, err := Watch()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	err = w.Sockets(ports, func(s *Socket) { list = append(list, *s) })
	return list, err
}

// each calls f for each connection in one of the states whose local port is one of ports,
// or for every one.
func (c *conn) each(ports []uint16, states uint32, f func(*message, []byte)) error {
	if len(ports) == 0 {
		ports = everyPort
	}
	for _, port := range ports {
		// An IPv4 connection of a dual-stack listener is among the IPv6 ones.
		for _, family := range families {
			request := request{Family: family, Protocol: unix.IPPROTO_TCP, States: states}
			request.ID.SourcePort = bigEndian(port)
			err := c.dumpAttributes(&request, func(m *message, attributes []byte) {
				if m.State != Listen && m.State != Close {
					f(m, attributes)
				}
			})
			if err != nil {
				return fmt.Errorf("sockdiag: list: %w", err)
			}
		}
	}
	return nil
}

var (
	everyPort = []uint16{0}
	families  = [...]uint8{unix.AF_INET, unix.AF_INET6}
)

// Supported returns nil if Destroy works here, ErrNotSupported, ErrOrphans or the reason
// (a missing privilege). It destroys nothing but a connection of its own over loopback.
func Supported() error {
	c, err := dial()
	if err != nil {
		return unsupported(err)
	}
	defer c.Close()
	// No socket has port 0 on both sides.
	none := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	err = c.acknowledged(unix.SOCK_DESTROY, newRequest(segment.Flow{Client: none, Server: none}))
	if errors.Is(err, unix.ENOENT) {
		return removesOrphans(Destroy)
	}
	return unsupported(err)
}

// removesOrphans returns ErrOrphans if destroy leaves a socket that its process has closed, and
// whose FIN is yet to leave. Without loopback that cannot be tried.
func removesOrphans(destroy func(segment.Flow, ...int) error) error {
	flow, end, err := orphan()
	if err != nil {
		return nil
	}
	defer end()
	if err := destroy(flow); err != nil {
		return err
	}
	w, err := Watch()
	if err != nil {
		return err
	}
	defer w.Close()
	switch _, err := w.State(flow); {
	case err == nil:
		return ErrOrphans
	case errors.Is(err, ErrNotFound):
		return nil
	default:
		return err
	}
}

// orphan makes such a socket: its client takes no more data.
func orphan() (flow segment.Flow, end func(), err error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return flow, nil, err
	}
	defer ln.Close()
	client, err := net.DialTimeout("tcp4", ln.Addr().String(), time.Second)
	if err != nil {
		return flow, nil, err
	}
	flow.Client, flow.Server = client.LocalAddr().(*net.TCPAddr).AddrPort(), ln.Addr().(*net.TCPAddr).AddrPort()
	server, err := ln.Accept()
	if err == nil { // little is enough
		err = errors.Join(client.(*net.TCPConn).SetReadBuffer(4096), server.(*net.TCPConn).SetWriteBuffer(4096))
	}
	if err == nil {
		err = server.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	}
	for more := make([]byte, 1<<16); err == nil; {
		_, err = server.Write(more)
	}
	if server != nil {
		server.Close()
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		client.Close()
		return flow, nil, err
	}
	return flow, func() { client.Close() }, nil
}

func unsupported(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT):
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	return fmt.Errorf("sockdiag: destroy: %w", err)
}
