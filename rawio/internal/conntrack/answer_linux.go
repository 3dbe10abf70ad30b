package conntrack

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

var errAnswer = errors.New("conntrack: the kernel's answer is not understood")

// answer is one netlink message of the kernel.
type answer struct {
	kind uint16
	seq  uint32 // of the request
	body []byte
}

// next splits the first message off.
func next(b []byte) (a answer, rest []byte, err error) {
	if len(b) < unix.NLMSG_HDRLEN {
		return a, nil, errAnswer
	}
	n := uint64(binary.NativeEndian.Uint32(b))
	if n < unix.NLMSG_HDRLEN || n > uint64(len(b)) {
		return a, nil, errAnswer
	}
	a = answer{kind: binary.NativeEndian.Uint16(b[4:]), seq: binary.NativeEndian.Uint32(b[8:]), body: b[unix.NLMSG_HDRLEN:n]}
	return a, b[aligned(int(n), len(b)):], nil
}

// aligned is where what comes after n bytes of size begins: netlink aligns all to four.
func aligned(n, size int) int { return min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), size) }

// errno is what an acknowledgment says.
func (a answer) errno() error {
	if len(a.body) < 4 {
		return errAnswer
	}
	if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(a.body))); errno != 0 {
		return errno
	}
	return nil
}

// parse reads what the kernel tells of a connection, from its struct nfgenmsg.
func parse(b []byte) (e Entry, err error) {
	if len(b) < sizeofNfgenmsg {
		return e, errAnswer
	}
	top, err := attributes(b[sizeofNfgenmsg:])
	if err != nil {
		return e, err
	}
	_, e.SYNProxy = top[synProxy]
	original, err := attributes(top[tupleOrig])
	if err != nil {
		return e, err
	}
	addresses, err := attributes(original[tupleIP])
	if err != nil {
		return e, err
	}
	ports, err := attributes(original[tupleProto])
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
	e.Client, client = end(v4Source, v6Source, protoSrc)
	e.Server, server = end(v4Dest, v6Dest, protoDst)
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
		all[binary.NativeEndian.Uint16(b[2:])&typeMask] = b[unix.SizeofNlAttr:n]
		b = b[aligned(n, len(b)):]
	}
	return all, nil
}
