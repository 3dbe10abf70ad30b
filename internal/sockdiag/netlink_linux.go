package sockdiag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

// noCookie in both words of a cookie means that any socket will do.
const noCookie = ^uint32(0)

// socketID is struct inet_diag_sockid (linux/inet_diag.h). Ports and addresses
// are in network order; an IPv4 address is in the first four bytes.
type socketID struct {
	SourcePort, DestPort [2]byte
	Source, Dest         [16]byte
	Interface            uint32
	Cookie               [2]uint32
}

// request is struct inet_diag_req_v2.
type request struct {
	Family, Protocol, Extensions, _ uint8
	States                          uint32 // bit set of states to list
	ID                              socketID
}

// message is struct inet_diag_msg.
type message struct {
	Family                 uint8
	State                  State
	Timer, Retransmissions uint8
	ID                     socketID
	Expires, ReceiveQueue  uint32
	SendQueue, UID, Inode  uint32
}

func bigEndian(v uint16) (b [2]byte) {
	binary.BigEndian.PutUint16(b[:], v)
	return b
}

func newRequest(flow segment.Flow) *request {
	r := &request{Family: unix.AF_INET6, Protocol: unix.IPPROTO_TCP, States: all}
	r.ID = socketID{
		SourcePort: bigEndian(flow.Server.Port()), DestPort: bigEndian(flow.Client.Port()),
		Cookie: [2]uint32{noCookie, noCookie},
	}
	server, client := flow.Server.Addr(), flow.Client.Addr()
	if server.Is4() {
		r.Family = unix.AF_INET
	}
	copy(r.ID.Source[:], server.AsSlice())
	copy(r.ID.Dest[:], client.AsSlice())
	return r
}

func (m *message) flow() segment.Flow {
	end := func(a [16]byte, port [2]byte) netip.AddrPort {
		addr := netip.AddrFrom16(a).Unmap()
		if m.Family == unix.AF_INET {
			addr = netip.AddrFrom4([4]byte(a[:4]))
		}
		return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port[:]))
	}
	return segment.Flow{Client: end(m.ID.Dest, m.ID.DestPort), Server: end(m.ID.Source, m.ID.SourcePort)}
}

func (m *message) cookie() uint64 { return uint64(m.ID.Cookie[0]) | uint64(m.ID.Cookie[1])<<32 }

// conn is a netlink socket that carries one request at a time.
type conn struct {
	*socket.Conn
	sequence uint32
	changed  bool // what the present request lists, meanwhile
	buf      []byte
}

func dial() (*conn, error) {
	c, err := socket.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_INET_DIAG, "sockdiag", nil)
	if err != nil {
		return nil, fmt.Errorf("sockdiag: %w", err)
	}
	if err := c.Bind(&unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		c.Close()
		return nil, fmt.Errorf("sockdiag: %w", err)
	}
	return &conn{Conn: c, buf: make([]byte, 64<<10)}, nil
}

// lookup returns the socket that the kernel finds for the flow, which may be
// the listener, and its attributes, which are valid until c is used again.
func (c *conn) lookup(r *request) (found message, attributes []byte, err error) {
	if err := c.send(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_REQUEST, r); err != nil {
		return found, nil, unsupported(err)
	}
	for found.Family == 0 && err == nil {
		_, err = c.receive(func(m *message, a []byte) { found, attributes = *m, a })
	}
	if errors.Is(err, unix.ENOENT) {
		return found, nil, ErrNotFound
	}
	return found, attributes, unsupported(err)
}

// find looks up the connection of exactly the flow, bound to one of the devices or to
// none, and returns it with the request that has found it.
func (c *conn) find(flow segment.Flow, devices []int) (found message, r *request, err error) {
	r = newRequest(flow)
	for i := -1; ; i++ {
		if i >= 0 {
			r.ID.Interface = uint32(devices[i])
		}
		if i < 0 || devices[i] != 0 {
			found, _, err = c.lookup(r)
		}
		if err == nil && (found.flow() != flow || found.State == Listen) {
			err = ErrNotFound // the kernel's lookup falls back to the listener
		}
		if !errors.Is(err, ErrNotFound) || i+1 == len(devices) {
			return found, r, err
		}
	}
}

// acknowledged sends a request whose answer is an error number only.
func (c *conn) acknowledged(kind uint16, r *request) error {
	if err := c.send(kind, unix.NLM_F_REQUEST|unix.NLM_F_ACK, r); err != nil {
		return err
	}
	for {
		if done, err := c.receive(nil); done || err != nil {
			return err
		}
	}
}

// dump calls f for each socket that the request selects.
func (c *conn) dump(r *request, f func(*message)) error {
	return c.dumpAttributes(r, func(m *message, _ []byte) { f(m) })
}

// dumpAttributes is dump for requests with extensions: f gets the netlink attributes with
// the answers.
func (c *conn) dumpAttributes(r *request, f func(*message, []byte)) error {
	if err := c.send(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, r); err != nil {
		return err
	}
	for {
		if done, err := c.receive(f); done || err != nil {
			return err
		}
	}
}

func (c *conn) send(kind, flags uint16, r *request) error {
	c.sequence++
	c.changed = false
	const size = unix.SizeofNlMsghdr + int(unsafe.Sizeof(request{}))
	b := make([]byte, size)
	*(*unix.NlMsghdr)(unsafe.Pointer(&b[0])) = unix.NlMsghdr{
		Len: uint32(size), Type: kind, Flags: flags, Seq: c.sequence,
	}
	*(*request)(unsafe.Pointer(&b[unix.SizeofNlMsghdr])) = *r
	return c.Sendto(context.Background(), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// receive reads one datagram of answers and calls f, if not nil, for each socket. It reports whether the request is
// done, by an acknowledgment or the end of a dump.
func (c *conn) receive(f func(*message, []byte)) (done bool, err error) {
	n, err := c.Read(c.buf)
	if err != nil {
		return false, err
	}
	return c.answers(c.buf[:n], f)
}

var (
	errShort = errors.New("netlink answer too short")
	errCut   = errors.New("netlink answer truncated")
	// errChanged is for kernels to come: up to Linux 6.18 no dump of sockets is called
	// interrupted. It goes on where it was, bucket by bucket of the hash table, and may miss
	// a connection if another one of its bucket ends meanwhile.
	errChanged = errors.New("the list has changed while it was read")
)

// answers takes a datagram; see receive. What belongs to another request is passed over.
func (c *conn) answers(b []byte, f func(*message, []byte)) (done bool, err error) {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return false, errCut
		}
		h := (*unix.NlMsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return false, errCut
		}
		data := b[unix.SizeofNlMsghdr:n]
		b = b[min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
		if h.Seq != c.sequence {
			continue
		}
		c.changed = c.changed || h.Flags&unix.NLM_F_DUMP_INTR != 0
		switch h.Type {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR: // both with an error number, or 0
			if len(data) < 4 {
				return false, errShort
			}
			switch errno := -int32(binary.NativeEndian.Uint32(data)); {
			case errno != 0:
				return true, unix.Errno(errno)
			case c.changed:
				return true, errChanged
			}
			done = true
		case unix.SOCK_DIAG_BY_FAMILY:
			if len(data) < int(unsafe.Sizeof(message{})) {
				return false, errShort
			}
			if f != nil {
				f((*message)(unsafe.Pointer(&data[0])), data[unsafe.Sizeof(message{}):])
			}
		}
	}
	return done, nil
}
