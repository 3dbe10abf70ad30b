package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/segment"
)

// Table is the kernel's table of connections, of the network namespace of the thread
// that opened it. It is not safe for concurrent use.
type Table struct {
	fd int // -1: nothing is tracked here
	b  []byte
}

// tracking exists while the kernel has connection tracking. Asking netlink instead
// would load it.
const tracking = "/proc/sys/net/netfilter/nf_conntrack_count"

// answerLimit is how long the kernel may take; it answers within the call.
const answerLimit = time.Second

// Open opens the table. It needs CAP_NET_ADMIN. Where the kernel tracks nothing there
// is nothing to delete.
func Open() (*Table, error) {
	if _, err := os.Stat(tracking); err != nil {
		return &Table{fd: -1}, nil
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return &Table{fd: -1}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	limit := unix.NsecToTimeval(int64(answerLimit))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	return &Table{fd: fd, b: make([]byte, 0, 4096)}, nil
}

// Close frees the socket.
func (t *Table) Close() error {
	if t.fd < 0 {
		return nil
	}
	return unix.Close(t.fd)
}

// Delete removes what is tracked of the flow, whichever of its ends seemed to have
// begun it. That nothing is tracked is no error.
func (t *Table) Delete(f segment.Flow) error { return t.ask(f, deleteEntry, func(*message) {}) }

// Loosen has tracking take any sequence number of the flow for valid. That nothing is
// tracked is no error.
func (t *Table) Loosen(f segment.Flow) error {
	return t.ask(f, changeEntry, func(m *message) {
		m.nest(protoInfo, func() {
			m.nest(protoTCP, func() {
				m.add(tcpFlagsOrig, liberal, liberal)
				m.add(tcpFlagsReply, liberal, liberal)
			})
		})
	})
}

// ask sends a request about a connection, which is found by the tuple of either
// direction, and reads the answer.
func (t *Table) ask(f segment.Flow, kind uint16, more func(*message)) error {
	if t.fd < 0 {
		return nil
	}
	m := message{t.b[:0]}
	m.head(kind, f.Server.Addr().Is6())
	m.nest(tupleOrig, func() { m.tuple(f) })
	more(&m)
	if _, err := unix.Write(t.fd, m.whole()); err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	n, err := unix.Read(t.fd, t.b[:cap(t.b)])
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	if n < unix.NLMSG_HDRLEN+4 {
		return fmt.Errorf("conntrack: an answer of %d bytes", n)
	}
	switch errno := unix.Errno(-int32(binary.NativeEndian.Uint32(t.b[:n][unix.NLMSG_HDRLEN:]))); errno {
	case 0, unix.ENOENT:
		return nil
	default:
		return fmt.Errorf("conntrack: %w", errno)
	}
}
