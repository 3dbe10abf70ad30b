package netlab

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const ethernet = 14

// Numbers of IPv6 extension headers.
const (
	fragmentHeader    = 44
	destinationHeader = 60
)

// rewrite returns the frames that a client's TCP frame becomes on its way: with
// extension headers, and in fragments.
func (i *Impair) rewrite(b []byte, id uint32) [][]byte {
	if i.Extensions > 0 {
		b = extend(b, i.Extensions)
	}
	if i.Fragment > 0 && len(b)-ethernet > i.Fragment {
		return split(b, i.Fragment, id)
	}
	return [][]byte{b}
}

// extend puts destination options headers, each of 8 bytes of padding, into an IPv6
// frame with data.
func extend(b []byte, n int) []byte {
	const tcp = ethernet + 40
	ip := b[ethernet:]
	if b[ethernet]>>4 != 6 || len(b) < tcp+20 || len(b) <= tcp+int(b[tcp+12]>>4)*4 {
		return b
	}
	out := append([]byte(nil), b[:tcp]...)
	binary.BigEndian.PutUint16(out[ethernet+4:], binary.BigEndian.Uint16(ip[4:])+uint16(8*n))
	out[ethernet+6] = destinationHeader
	for k := range n {
		next := byte(destinationHeader)
		if k == n-1 {
			next = unix.IPPROTO_TCP
		}
		out = append(out, next, 0, 1, 4, 0, 0, 0, 0)
	}
	return append(out, b[tcp:]...)
}

// split makes IP fragments of at most mtu bytes of a frame.
func split(b []byte, mtu int, id uint32) (out [][]byte) {
	head := 20
	if b[ethernet]>>4 == 6 {
		head = 40 // in a fragment the rest, extension headers too, counts as data
	}
	room := mtu - head
	if head == 40 {
		room -= 8
	}
	room &^= 7
	data := b[ethernet+head:]
	for at := 0; at < len(data); at += room {
		part := data[at:min(at+room, len(data))]
		more := at+room < len(data)
		f := append([]byte(nil), b[:ethernet+head]...)
		ip := f[ethernet:]
		field := uint16(at)
		if head == 40 {
			binary.BigEndian.PutUint16(ip[4:], uint16(8+len(part)))
			f = append(f, ip[6], 0)
			ip[6] = fragmentHeader
			if more {
				field |= 1
			}
			f = binary.BigEndian.AppendUint16(f, field)
			f = binary.BigEndian.AppendUint32(f, id)
		} else {
			binary.BigEndian.PutUint16(ip[2:], uint16(20+len(part)))
			binary.BigEndian.PutUint16(ip[4:], uint16(id))
			if field /= 8; more {
				field |= 0x2000
			}
			binary.BigEndian.PutUint16(ip[6:], field)
			sum4(ip[:20])
		}
		out = append(out, append(f, part...))
	}
	return out
}

// sum4 fills in the checksum of an IPv4 header.
func sum4(h []byte) {
	h[10], h[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum))
}
