package conntrack

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

// What requests and answers consist of (linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_tcp.h).
const (
	changeEntry = unix.NFNL_SUBSYS_CTNETLINK << 8   // IPCTNL_MSG_CT_NEW
	getEntry    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	deleteEntry = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	tupleOrig          = 1 // CTA_TUPLE_ORIG
	tupleIP            = 1 // CTA_TUPLE_IP
	tupleProto         = 2 // CTA_TUPLE_PROTO
	v4Source, v4Dest   = 1, 2
	v6Source, v6Dest   = 3, 4
	protoNum           = 1
	protoSrc, protoDst = 2, 3

	protoInfo                   = 4 // CTA_PROTOINFO
	protoTCP                    = 1 // CTA_PROTOINFO_TCP
	tcpFlagsOrig, tcpFlagsReply = 4, 5
	liberal                     = 0x08 // IP_CT_TCP_FLAG_BE_LIBERAL

	synProxy = 24 // CTA_SYNPROXY

	nested = unix.NLA_F_NESTED
	// typeMask leaves the type of an attribute.
	typeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	// sizeofNfgenmsg is the length of struct nfgenmsg, before the attributes.
	sizeofNfgenmsg = 4
)

// message is a netlink message that is being built.
type message struct{ b []byte }

// head begins a request that is to be acknowledged.
func (m *message) head(kind uint16, seq uint32, v6 bool) {
	family := byte(unix.AF_INET)
	if v6 {
		family = unix.AF_INET6
	}
	m.b = append(m.b, make([]byte, unix.NLMSG_HDRLEN)...)
	m.b = append(m.b, family, 0 /* NFNETLINK_V0 */, 0, 0)
	binary.NativeEndian.PutUint16(m.b[4:], kind)
	binary.NativeEndian.PutUint16(m.b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(m.b[8:], seq)
}

func (m *message) whole() []byte {
	binary.NativeEndian.PutUint32(m.b, uint32(len(m.b)))
	return m.b
}

// attribute adds one whose value f adds.
func (m *message) attribute(kind uint16, f func()) {
	at := len(m.b)
	m.b = binary.NativeEndian.AppendUint16(m.b, 0)
	m.b = binary.NativeEndian.AppendUint16(m.b, kind)
	f()
	binary.NativeEndian.PutUint16(m.b[at:], uint16(len(m.b)-at))
	for len(m.b)%unix.NLA_ALIGNTO != 0 {
		m.b = append(m.b, 0)
	}
}

func (m *message) nest(kind uint16, f func()) { m.attribute(kind|nested, f) }

func (m *message) add(kind uint16, value ...byte) {
	m.attribute(kind, func() { m.b = append(m.b, value...) })
}

// tuple adds the addresses and ports of the client's direction.
func (m *message) tuple(f segment.Flow) {
	source, dest := uint16(v4Source), uint16(v4Dest)
	if f.Server.Addr().Is6() {
		source, dest = v6Source, v6Dest
	}
	m.nest(tupleIP, func() {
		m.add(source, f.Client.Addr().AsSlice()...)
		m.add(dest, f.Server.Addr().AsSlice()...)
	})
	m.nest(tupleProto, func() {
		m.add(protoNum, unix.IPPROTO_TCP)
		m.add(protoSrc, binary.BigEndian.AppendUint16(nil, f.Client.Port())...)
		m.add(protoDst, binary.BigEndian.AppendUint16(nil, f.Server.Port())...)
	})
}
