package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/segment"
)

// Numbers of linux/netfilter/nfnetlink_conntrack.h that package nl does not have.
const (
	ctaSYNProxy = 24
	attrType    = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
)

// Lookup returns what is known of the connection whose socket has the two ends of
// flow. It needs CAP_NET_ADMIN, and acts in the calling thread's network namespace.
// Connections of other zones than the default one are not found.
func Lookup(flow segment.Flow) (Entry, error) {
	family := uint8(unix.AF_INET)
	if flow.Server.Addr().Is6() {
		family = unix.AF_INET6
	}
	// The kernel marks its one answer as one of several, which only the
	// acknowledgment ends.
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_ACK)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	// The way from the socket to its client is the direction of the replies, which
	// no translation changes once they have left the socket.
	tuple := nl.NewRtAttr(nl.CTA_TUPLE_REPLY|unix.NLA_F_NESTED, nil)
	addresses := tuple.AddRtAttr(nl.CTA_TUPLE_IP|unix.NLA_F_NESTED, nil)
	source, destination := nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if family == unix.AF_INET6 {
		source, destination = nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	addresses.AddRtAttr(source, flow.Server.Addr().AsSlice())
	addresses.AddRtAttr(destination, flow.Client.Addr().AsSlice())
	proto := tuple.AddRtAttr(nl.CTA_TUPLE_PROTO|unix.NLA_F_NESTED, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{unix.IPPROTO_TCP})
	proto.AddRtAttr(nl.CTA_PROTO_SRC_PORT, binary.BigEndian.AppendUint16(nil, flow.Server.Port()))
	proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, flow.Client.Port()))
	req.AddData(tuple)
	answers, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), err == nil && len(answers) == 0:
		return Entry{}, ErrNotFound
	case errors.Is(err, unix.EINVAL): // nfnetlink has no such subsystem
		return Entry{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil:
		return Entry{}, fmt.Errorf("nat: %w", err)
	}
	return parse(answers[0])
}

var errAnswer = errors.New("nat: the kernel's answer is not understood")

// parse reads a message of ctnetlink, from its struct nfgenmsg.
func parse(b []byte) (e Entry, err error) {
	if len(b) < nl.SizeofNfgenmsg {
		return e, errAnswer
	}
	top, err := attributes(b[nl.SizeofNfgenmsg:])
	if err != nil {
		return e, err
	}
	_, e.SYNProxy = top[ctaSYNProxy]
	original, err := attributes(top[nl.CTA_TUPLE_ORIG])
	if err != nil {
		return e, err
	}
	addresses, err := attributes(original[nl.CTA_TUPLE_IP])
	if err != nil {
		return e, err
	}
	ports, err := attributes(original[nl.CTA_TUPLE_PROTO])
	if err != nil {
		return e, err
	}
	end := func(v4, v6, port uint16) (netip.AddrPort, bool) {
		text, ok := addresses[v4]
		if !ok {
			text = addresses[v6]
		}
		a, ok := netip.AddrFromSlice(text)
		if p := ports[port]; ok && len(p) == 2 {
			return netip.AddrPortFrom(a, binary.BigEndian.Uint16(p)), true
		}
		return netip.AddrPort{}, false
	}
	var client, server bool
	e.Client, client = end(nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC, nl.CTA_PROTO_SRC_PORT)
	e.Server, server = end(nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST, nl.CTA_PROTO_DST_PORT)
	if !client || !server {
		return Entry{}, errAnswer
	}
	return e, nil
}

// attributes reads netlink attributes; of a type that comes twice, the last.
func attributes(b []byte) (map[uint16][]byte, error) {
	all := map[uint16][]byte{}
	for len(b) > 0 {
		if len(b) < unix.SizeofNlAttr {
			return nil, errAnswer
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofNlAttr || n > len(b) {
			return nil, errAnswer
		}
		all[binary.NativeEndian.Uint16(b[2:])&attrType] = b[unix.SizeofNlAttr:n]
		b = b[min((n+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
	}
	return all, nil
}
