package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/segment"
)

const (
	requestSize = 56         // struct inet_diag_req_v2
	messageSize = 72         // struct inet_diag_msg
	noCookie    = 0xffffffff // any socket of the tuple
	allStates   = 0xfff << 1
)

// request is a struct inet_diag_req_v2.
type request struct {
	family uint8
	states uint32
	flow   segment.Flow // zero: any
}

func (r *request) Len() int { return requestSize }

func (r *request) Serialize() []byte {
	b := make([]byte, requestSize)
	b[0], b[1] = r.family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], r.states)
	if r.flow != (segment.Flow{}) {
		binary.BigEndian.PutUint16(b[8:], r.flow.Server.Port())
		binary.BigEndian.PutUint16(b[10:], r.flow.Client.Port())
		copy(b[12:28], r.flow.Server.Addr().AsSlice())
		copy(b[28:44], r.flow.Client.Addr().AsSlice())
	}
	binary.NativeEndian.PutUint32(b[48:], noCookie)
	binary.NativeEndian.PutUint32(b[52:], noCookie)
	return b
}

// Destroy removes the kernel's socket of a connection, in whatever state, as
// if it had failed: what it has not sent is lost, a process that still has it
// gets ECONNABORTED, and the kernel sends a RST, which the gate holds. It needs
// CAP_NET_ADMIN.
func Destroy(flow segment.Flow) error {
	r := &request{family: unix.AF_INET, states: allStates, flow: flow}
	if flow.Server.Addr().Is6() {
		r.family = unix.AF_INET6
	}
	req := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	req.AddData(r)
	_, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		return ErrNotFound
	case errors.Is(err, unix.EOPNOTSUPP):
		return ErrNotSupported
	}
	return fmt.Errorf("sockdiag: destroy %v: %w", flow, err)
}

// Supported reports, by trying it on a connection that cannot exist, whether
// the kernel can remove sockets: nil, ErrNotSupported, or why it was not known.
func Supported() error {
	none := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	if err := Destroy(segment.Flow{Client: none, Server: netip.AddrPortFrom(none.Addr(), 1)}); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// List returns the TCP sockets with one of the local ports that are connected
// to somebody, in all states. Sockets of a listener itself are left out.
func List(ports []uint16) (map[segment.Flow]State, error) {
	out := map[segment.Flow]State{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		req.AddData(&request{family: family, states: allStates})
		msgs, err := req.Execute(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY)
		if err != nil {
			return nil, fmt.Errorf("sockdiag: list: %w", err)
		}
		for _, m := range msgs {
			flow, state, ok := parse(m)
			if ok && state != Listen && slices.Contains(ports, flow.Server.Port()) {
				out[flow] = state
			}
		}
	}
	return out, nil
}

// parse reads a struct inet_diag_msg.
func parse(m []byte) (segment.Flow, State, bool) {
	if len(m) < messageSize {
		return segment.Flow{}, 0, false
	}
	addr := func(b []byte) netip.Addr {
		if m[0] == unix.AF_INET {
			return netip.AddrFrom4([4]byte(b))
		}
		return netip.AddrFrom16([16]byte(b)).Unmap()
	}
	return segment.Flow{
		Server: netip.AddrPortFrom(addr(m[8:]), binary.BigEndian.Uint16(m[4:])),
		Client: netip.AddrPortFrom(addr(m[24:]), binary.BigEndian.Uint16(m[6:])),
	}, State(m[1]), true
}
