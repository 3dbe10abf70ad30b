package sockdiag

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

// Watcher asks the kernel many times: it keeps its socket, and with it the network
// namespace of the thread that opened it. It is not safe for concurrent use.
type Watcher struct {
	c      *conn
	socket Socket // for Sockets
}

// Watch opens a Watcher. Close it.
func Watch() (*Watcher, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	return &Watcher{c: c}, nil
}

// Close frees the socket.
func (w *Watcher) Close() error { return w.c.Close() }

// State returns the state of exactly the connection of flow; Flow.Server is the local
// end. devices are as in Destroy. The error is ErrNotFound or one of the system.
func (w *Watcher) State(flow segment.Flow, devices ...int) (State, error) {
	found, _, err := w.c.find(flow, devices)
	if err != nil {
		return 0, err
	}
	return found.State, nil
}

// Progress returns how far exactly the connection of flow has come. devices are as in
// Destroy. It needs CAP_NET_ADMIN. The error is ErrNotFound, ErrNotSupported if the kernel does
// not tell, or one of the system.
func (w *Watcher) Progress(flow segment.Flow, devices ...int) (Bytes, error) {
	_, r, err := w.c.find(flow, devices)
	if err != nil {
		return Bytes{}, err
	}
	r.Extensions = 1 << (inetDiagInfo - 1)
	found, attributes, err := w.c.lookup(r)
	if err != nil {
		return Bytes{}, err
	}
	switch b, ok := bytesOf(attributes); {
	case found.flow() != flow || found.State == Listen: // it has gone since
		return Bytes{}, ErrNotFound
	case !ok:
		return Bytes{}, ErrNotSupported
	default:
		return b, nil
	}
}

// Room returns how many more connections the queue of the fullest listener of the port
// takes before the kernel drops or answers by SYN cookies what begins: it may be below 0.
// Without a listener the error is ErrNotFound.
func (w *Watcher) Room(port uint16) (int, error) {
	room := math.MaxInt
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		r := request{Family: family, Protocol: unix.IPPROTO_TCP, States: 1 << Listen}
		r.ID.SourcePort = bigEndian(port)
		// Of a listener the queues are those of connections: how long, and at most
		// (inet_diag_msg_common_fill, tcp_diag_get_info).
		err := w.c.dump(&r, func(m *message) {
			room = min(room, int(m.SendQueue)+1-int(m.ReceiveQueue)) // sk_acceptq_is_full: more than
		})
		if err != nil {
			return 0, fmt.Errorf("sockdiag: %w", err)
		}
	}
	if room == math.MaxInt {
		return 0, ErrNotFound
	}
	return room, nil
}

// Sockets calls f for each connection whose local port is one of ports; none means every
// port. Those in TIME_WAIT are not among them, and one that begins or ends meanwhile may
// be missing, or told of twice; very rarely so is another one. f must not keep its
// argument, nor call the Watcher. After an error the list is incomplete, and the Watcher
// is to be closed: the kernel may have more to tell.
func (w *Watcher) Sockets(ports []uint16, f func(*Socket)) error {
	return w.c.each(ports, lasting, func(m *message, attributes []byte) {
		w.socket = Socket{
			Flow: m.flow(), State: m.State, Cookie: m.cookie(), Inode: m.Inode, Interface: m.ID.Interface, Transparent: transparent(attributes),
		}
		f(&w.socket)
	})
}
