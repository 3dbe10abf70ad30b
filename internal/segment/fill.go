package segment

import "encoding/binary"

// FillChecksum computes the TCP checksum of a whole packet in place. A packet
// that was taken on its way to a device with checksum offload has none yet.
// It returns the errors of Decode.
func FillChecksum(packet []byte) error {
	var (
		d   Decoder
		s   Segment
		tcp []byte
		err error
	)
	if err = d.Decode(packet, ChecksumTrusted, &s); err != nil {
		return err
	}
	if s.Src.Addr().Is4() {
		tcp, _, err = network4(packet, len(packet))
	} else {
		tcp, _, err = network6(packet, len(packet))
	}
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(tcp[16:], 0)
	binary.BigEndian.PutUint16(tcp[16:], ^sumTCP(s.Src.Addr(), s.Dst.Addr(), tcp, nil))
	return nil
}

// Unfragment makes the IP header of a first fragment tell of a whole packet, so that
// its headers can be decoded. Any other packet stays as it is.
func Unfragment(packet []byte) {
	switch {
	case len(packet) >= ipv4Header && packet[0]>>4 == 4 && binary.BigEndian.Uint16(packet[6:])&0x3fff == 0x2000:
		packet[6] &^= 0x20
		fillHeader4(packet)
	case len(packet) >= ipv6Header && packet[0]>>4 == 6:
		w, err := header6(packet, max(len(packet), ipv6Header+int(binary.BigEndian.Uint16(packet[4:]))))
		if err == nil && w.next == nextFragment && binary.BigEndian.Uint16(packet[w.at+2:])&0xfff8 == 0 {
			packet[w.at+3] &^= 1
		}
	}
}

// fillHeader4 computes the checksum of an IPv4 header.
func fillHeader4(packet []byte) {
	header := min(int(packet[0]&0xf)*4, len(packet))
	binary.BigEndian.PutUint16(packet[10:], 0)
	binary.BigEndian.PutUint16(packet[10:], ^fold(sum(packet[:header], 0)))
}

// CutLength makes the IP header of a packet, whose tail was not captured, tell
// the length that is left, so that its headers can be decoded.
func CutLength(packet []byte) {
	switch {
	case len(packet) >= ipv4Header && packet[0]>>4 == 4:
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		header := min(int(packet[0]&0xf)*4, len(packet))
		binary.BigEndian.PutUint16(packet[10:], 0)
		binary.BigEndian.PutUint16(packet[10:], ^fold(sum(packet[:header], 0)))
	case len(packet) >= ipv6Header && packet[0]>>4 == 6:
		binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-ipv6Header))
		if hop := packet[ipv6Header:]; packet[6] == nextHopByHop && len(hop) >= 8 && len(hop) >= 8+8*int(hop[1]) {
			if at := findJumbo(hop[:8+8*int(hop[1])]); at >= 0 { // not beside a length: padding instead
				copy(hop[at:], []byte{1, 4, 0, 0, 0, 0})
			}
		}
	}
}
