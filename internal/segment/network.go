package segment

import "encoding/binary"

// The IP headers, as the kernel reads them on the way to its TCP: what it takes must
// not be refused here, nor the reverse.

// IPv6 extension headers (IANA protocol numbers).
const (
	nextHopByHop    = 0
	nextRouting     = 43
	nextFragment    = 44
	nextDestination = 60

	// maxExtensions is the number of IPv6 extension headers that are passed
	// over; the gate looks as far. The kernel has no limit.
	maxExtensions = 8
)

// network4 returns the TCP part of an IPv4 packet of that length, of which
// packet may be the first part, as far as it is there, and its whole length.
func network4(packet []byte, length int) ([]byte, int, error) {
	header, total, err := header4(packet, length)
	switch {
	case err != nil:
		return nil, 0, err
	case binary.BigEndian.Uint16(packet[6:])&0x3fff != 0: // more fragments, or an offset
		return nil, 0, ErrFragment
	}
	return packet[header:min(total, len(packet))], total - header, nil
}

// header4 returns the length of the header and that of the whole packet, without
// what the link layer has put behind it.
func header4(packet []byte, length int) (header, total int, err error) {
	if len(packet) < ipv4Header {
		return 0, 0, ErrTruncated
	}
	header = int(packet[0]&0xf) * 4
	total = int(binary.BigEndian.Uint16(packet[2:]))
	// Receive offload may merge more than the length field can say (BIG TCP);
	// the field is then 0. Only so long a packet may leave it out.
	if total == 0 && length > maxPacket {
		total = length
	}
	switch {
	case header < ipv4Header || total < header:
		return 0, 0, ErrMalformed
	case total > length, header > len(packet):
		return 0, 0, ErrTruncated
	case packet[9] != protoTCP:
		return 0, 0, ErrNotTCP
	case fold(sum(packet[:header], 0)) != 0xffff:
		return 0, 0, ErrChecksum
	case !options4(packet[ipv4Header:header]):
		return 0, 0, ErrMalformed
	}
	return header, total, nil
}

// options4 reports whether the lengths of IPv4 options make sense (RFC 791, section
// 3.1), as ip_options_compile looks at them.
func options4(b []byte) bool {
	for len(b) > 0 && b[0] != 0 {
		n := 1
		if b[0] != 1 {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				return false
			}
			n = int(b[1])
		}
		b = b[n:]
	}
	return true
}

// network6 is network4 for IPv6.
func network6(packet []byte, length int) ([]byte, int, error) {
	w, err := header6(packet, length)
	switch {
	case err != nil:
		return nil, 0, err
	case w.next == nextFragment:
		return nil, 0, ErrFragment
	case w.next != protoTCP:
		return nil, 0, ErrNotTCP
	}
	return packet[w.at:min(w.total, len(packet))], w.total - w.at, nil
}

// walk6 is where the walk over the headers of an IPv6 packet has ended.
type walk6 struct {
	next  byte // what follows
	names int  // offset of the byte that says so
	at    int  // offset of what follows
	total int  // length of the packet, without what the link layer has put behind it
}

// header6 passes over the extension headers that may precede TCP, those of a whole
// packet in a fragment (RFC 6946) among them. It ends at the fragment header of
// any other.
func header6(packet []byte, length int) (w walk6, err error) {
	if len(packet) < ipv6Header {
		return w, ErrTruncated
	}
	payload := int(binary.BigEndian.Uint16(packet[4:]))
	w = walk6{next: packet[6], names: 6, at: ipv6Header, total: ipv6Header + payload}
	if payload == 0 && (w.next == nextHopByHop || length > ipv6Header+maxPacket) {
		w.total = length // BIG TCP, with or without the jumbo option (RFC 2675)
	}
	for n := 0; ; n++ {
		if w.total > length {
			return w, ErrTruncated
		}
		rest := packet[min(w.at, len(packet)):min(w.total, len(packet))]
		size := 8
		switch w.next {
		case nextHopByHop:
			if n > 0 {
				return w, ErrMalformed // RFC 8200, section 4.1: only the first
			}
		case nextRouting:
			if len(rest) >= 8 && rest[3] != 0 {
				return w, ErrMalformed // segments left: this host is not the destination
			}
		case nextDestination:
		case nextFragment:
			if len(rest) >= 8 && binary.BigEndian.Uint16(rest[2:])&0xfff9 != 0 {
				return w, nil
			}
		default:
			return w, nil
		}
		switch {
		case n == maxExtensions:
			return w, ErrNotTCP
		case len(rest) < 8:
			return w, ErrMalformed
		case w.next != nextFragment:
			size += 8 * int(rest[1])
		}
		if len(rest) < size {
			return w, ErrMalformed
		}
		if w.next == nextHopByHop {
			if w.total, err = jumbo(rest[:size], payload, w.total); err != nil {
				return w, err
			}
		}
		w.next, w.names, w.at = rest[0], w.at, w.at+size
	}
}

// jumbo returns the length of a packet with these hop-by-hop options: what the
// jumbo payload option says, if there is one.
func jumbo(hop []byte, payload, total int) (int, error) {
	at := findJumbo(hop)
	if at < 0 {
		return total, nil
	}
	n := int(binary.BigEndian.Uint32(hop[at+2:]))
	if payload != 0 || n <= maxPacket {
		return 0, ErrMalformed // RFC 2675, section 3
	}
	return ipv6Header + n, nil
}

// findJumbo returns the offset of the jumbo payload option in a hop-by-hop header,
// or -1.
func findJumbo(hop []byte) int {
	for i := 2; i < len(hop); {
		switch {
		case hop[i] == 0: // Pad1
			i++
			continue
		case i+1 == len(hop) || i+2+int(hop[i+1]) > len(hop):
			return -1
		case hop[i] == 0xc2 && hop[i+1] == 4:
			return i
		}
		i += 2 + int(hop[i+1])
	}
	return -1
}
