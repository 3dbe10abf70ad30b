package conntrack

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

// Table is the kernel's table of connections, of the network namespace of the thread
// that used it first. Its methods need CAP_NET_ADMIN, may be called at the same time,
// and do not see other zones than the default one. The zero value is ready for use.
type Table struct {
	mu     sync.Mutex // guards the fields below
	open   bool
	closed bool
	fd     int
	seq    uint32 // of the last request
	b      []byte
}

// tracking exists while the kernel has connection tracking, which others may load at
// any time. Asking netlink instead would load it.
const tracking = "/proc/sys/net/netfilter/nf_conntrack_count"

const (
	// answerLimit is how long the kernel may take; it answers within the call.
	answerLimit = time.Second
	// answerSize is what the kernel makes room for in an answer, bytes.
	answerSize = 8192
)

// Close frees the socket. What is called later returns os.ErrClosed.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if !t.open {
		return nil
	}
	t.open = false
	return unix.Close(t.fd)
}

// Lookup returns what is known of the connection whose socket has the two ends of
// flow.
func (t *Table) Lookup(f segment.Flow) (e Entry, err error) {
	// The way from the socket to its client is the direction of the replies, which
	// no translation changes once they have left the socket.
	found := false
	err = t.ask(getEntry, segment.Flow{Client: f.Server, Server: f.Client}, nil, func(b []byte) (err error) {
		found = true
		e, err = parse(b)
		return err
	})
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL): // there is no such subsystem
		return Entry{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	case err == nil && !found:
		return Entry{}, ErrNotFound
	}
	return e, err
}

// Delete removes what is tracked of the flow, whichever of its ends seemed to have
// begun it. That nothing is tracked is no error.
func (t *Table) Delete(f segment.Flow) error { return t.ask(deleteEntry, f, nil, nil) }

// Loosen has tracking take any sequence number of the flow for valid. That nothing is
// tracked is no error.
func (t *Table) Loosen(f segment.Flow) error {
	return t.ask(changeEntry, f, func(m *message) {
		m.nest(protoInfo, func() {
			m.nest(protoTCP, func() {
				m.add(tcpFlagsOrig, liberal, liberal)
				m.add(tcpFlagsReply, liberal, liberal)
			})
		})
	}, nil)
}

// ask sends a request about a connection, which is found by the tuple of either
// direction, and hands over what the kernel tells of it. That nothing is tracked is
// no error.
func (t *Table) ask(kind uint16, f segment.Flow, more func(*message), tell func([]byte) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok, err := t.ready(); err != nil || !ok {
		return err
	}
	t.seq++
	m := message{t.b[:0]}
	m.head(kind, t.seq, f.Server.Addr().Is6())
	m.nest(tupleOrig, func() { m.tuple(f) })
	if more != nil {
		more(&m)
	}
	if _, err := unix.Write(t.fd, m.whole()); err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	for {
		n, err := unix.Read(t.fd, t.b[:cap(t.b)])
		if err != nil {
			return fmt.Errorf("conntrack: %w", err)
		}
		done, err := t.answer(t.b[:n], tell)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("conntrack: %w", err)
		}
		if done {
			return nil
		}
	}
}

// answer takes what was read and reports whether the request has been acknowledged.
// Answers to requests that were given up are passed over.
func (t *Table) answer(b []byte, tell func([]byte) error) (done bool, err error) {
	for len(b) > 0 {
		a, rest, err := next(b)
		if err != nil {
			return false, err
		}
		b = rest
		switch {
		case a.seq != t.seq:
		case a.kind == unix.NLMSG_ERROR:
			return true, a.errno()
		case tell != nil:
			if err := tell(a.body); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// ready opens the socket once there is tracking, and reports whether there is.
func (t *Table) ready() (bool, error) {
	if t.closed {
		return false, os.ErrClosed
	}
	if t.open {
		return true, nil
	}
	if _, err := os.Stat(tracking); err != nil {
		return false, nil
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("conntrack: %w", err)
	}
	limit := unix.NsecToTimeval(int64(answerLimit))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		unix.Close(fd)
		return false, fmt.Errorf("conntrack: %w", err)
	}
	t.open, t.fd, t.b = true, fd, make([]byte, 0, answerSize)
	return true, nil
}
