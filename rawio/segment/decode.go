package segment

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	maxPacket  = 65535 // what the IP length fields can say

	// maxExtensions is the number of IPv6 extension headers that are passed
	// over; the gate looks as far.
	maxExtensions = 4
)

// Decoder decodes packets into segments. It keeps the layers' buffers, so that
// decoding does not allocate; a Decoder serves one goroutine at a time. The
// zero value is ready.
type Decoder struct {
	ip4 layers.IPv4
	ext layers.IPv6ExtensionSkipper
	tcp layers.TCP
}

// Decode reads the packet, which starts at the IP header, into s; every field
// of s is set. s.Payload aliases packet. What follows the IP length (padding of
// the link layer) is cut off. On an error s has no meaning. The IPv4 header
// checksum is always verified, for so does the kernel; c speaks of the TCP
// checksum only.
func (d *Decoder) Decode(packet []byte, c Checksum, s *Segment) error {
	return d.decode(packet, nil, c, s)
}

// DecodeSplit is Decode for a packet whose headers are in one piece of memory
// and whose payload, which s.Payload will alias, is in another. An error may
// mean no more than that the headers do not end where the first piece ends: put
// the packet together, and Decode it.
func (d *Decoder) DecodeSplit(headers, payload []byte, c Checksum, s *Segment) error {
	if len(payload) == 0 {
		return ErrTruncated
	}
	return d.decode(headers, payload, c, s)
}

// decode decodes a packet that may go on in rest.
func (d *Decoder) decode(packet, rest []byte, c Checksum, s *Segment) error {
	if len(packet) == 0 {
		return ErrTruncated
	}
	var tcp []byte
	length := len(packet) + len(rest)
	var src, dst netip.Addr
	var err error
	switch packet[0] >> 4 {
	case 4:
		tcp, length, err = d.network4(packet, length)
		if err != nil {
			return err
		}
		src, dst = netip.AddrFrom4([4]byte(d.ip4.SrcIP)), netip.AddrFrom4([4]byte(d.ip4.DstIP))
		s.TOS = d.ip4.TOS
	case 6:
		tcp, length, err = d.network6(packet, length)
		if err != nil {
			return err
		}
		src, dst = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
		s.TOS = uint8(binary.BigEndian.Uint16(packet) >> 4)
		// A mapped address on the wire would pass for an IPv4 connection's;
		// the kernel opens no connection for it (tcp_v6_conn_request).
		if src.Is4In6() || dst.Is4In6() {
			return ErrMalformed
		}
	default:
		return ErrNotTCP
	}
	if rest != nil {
		rest = rest[:length-len(tcp)]
	}
	return d.transport(tcp, rest, src, dst, c, s)
}

// network4 returns the TCP part of an IPv4 packet of that length, of which
// packet may be the first part, as far as it is there, and its whole length.
func (d *Decoder) network4(packet []byte, length int) ([]byte, int, error) {
	if len(packet) < ipv4Header {
		return nil, 0, ErrTruncated
	}
	header := int(packet[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	// Receive offload may merge more than the length field can say (BIG TCP);
	// the field is then 0. Only so long a packet may leave it out.
	if total == 0 && length > maxPacket {
		total = length
	}
	switch {
	case header < ipv4Header || total < header:
		return nil, 0, ErrMalformed
	case total > length, header > len(packet):
		return nil, 0, ErrTruncated
	case packet[9] != protoTCP:
		return nil, 0, ErrNotTCP
	case binary.BigEndian.Uint16(packet[6:])&0x3fff != 0: // more fragments, or an offset
		return nil, 0, ErrFragment
	case fold(sum(packet[:header], 0)) != 0xffff:
		return nil, 0, ErrChecksum
	}
	there := packet[:min(total, len(packet))]
	if err := d.ip4.DecodeFromBytes(there[:min(len(there), maxPacket)], gopacket.NilDecodeFeedback); err != nil {
		return nil, 0, ErrMalformed // the options
	}
	return there[header:], total - header, nil
}

// network6 is network4 for IPv6. The fixed header is read
// here and not by layers.IPv6, which counts a hop-by-hop header twice when it
// cuts the payload to its length (so padding would become data), and allocates.
func (d *Decoder) network6(packet []byte, size int) ([]byte, int, error) {
	if len(packet) < ipv6Header {
		return nil, 0, ErrTruncated
	}
	rest := packet[ipv6Header:]
	size -= ipv6Header
	length := int(binary.BigEndian.Uint16(packet[4:]))
	if length == 0 && size > maxPacket {
		length = size // BIG TCP, with or without the jumbo option (RFC 2675)
	}
	if length > size {
		return nil, 0, ErrTruncated
	}
	rest = rest[:min(length, len(rest))]
	next := layers.IPProtocol(packet[6])
	for n := 0; next != protoTCP; n++ {
		switch {
		case next == layers.IPProtocolIPv6Fragment:
			return nil, 0, ErrFragment
		case next == layers.IPProtocolIPv6HopByHop && n > 0:
			return nil, 0, ErrMalformed // RFC 8200, section 4.1: only the first
		case n == maxExtensions, !skippable(next):
			return nil, 0, ErrNotTCP
		case len(rest) < 8 || len(rest) < 8+8*int(rest[1]):
			return nil, 0, ErrMalformed
		case next == layers.IPProtocolIPv6Routing && rest[3] != 0:
			return nil, 0, ErrMalformed // segments left: this host is not the destination
		}
		if err := d.ext.DecodeFromBytes(rest, gopacket.NilDecodeFeedback); err != nil {
			return nil, 0, ErrMalformed
		}
		length -= len(rest) - len(d.ext.Payload)
		next, rest = d.ext.NextHeader, d.ext.Payload
	}
	return rest, length, nil
}

func skippable(next layers.IPProtocol) bool {
	return next == layers.IPProtocolIPv6HopByHop || next == layers.IPProtocolIPv6Routing ||
		next == layers.IPProtocolIPv6Destination
}

// transport decodes the TCP header and its payload, which is either behind the
// header or, if rest is not nil, there.
func (d *Decoder) transport(tcp, rest []byte, src, dst netip.Addr, c Checksum, s *Segment) error {
	if len(tcp) < tcpHeader {
		return ErrMalformed
	}
	header := int(tcp[12]>>4) * 4
	if header < tcpHeader || header > len(tcp) || rest != nil && header != len(tcp) {
		return ErrMalformed
	}
	if c == ChecksumVerify && sumTCP(src, dst, tcp, rest) != 0xffff {
		return ErrChecksum
	}
	t := &d.tcp
	// The lengths are checked, so an error can only mean the options. The
	// kernel keeps those before the broken one and accepts the segment
	// (tcp_parse_options); refusing it here would leave the client without an
	// acknowledgment for ever.
	_ = t.DecodeFromBytes(tcp, gopacket.NilDecodeFeedback)
	s.Src = netip.AddrPortFrom(src, uint16(t.SrcPort))
	s.Dst = netip.AddrPortFrom(dst, uint16(t.DstPort))
	s.Seq, s.Ack = t.Seq, t.Ack
	s.Flags = Flags(binary.BigEndian.Uint16(tcp[12:])) & (AE<<1 - 1)
	s.Window, s.Urgent = t.Window, t.Urgent
	s.Payload = t.Payload
	if rest != nil {
		s.Payload = rest
	}
	s.Options = Options{}
	for i := range t.Options {
		if o := &t.Options[i]; o.OptionLength >= 2 && int(o.OptionLength) == 2+len(o.OptionData) {
			s.Options.take(o.OptionType, o.OptionData)
		}
	}
	return nil
}

// RawOptions returns the option bytes of the segment decoded last, padding
// included, as they stood in its TCP header. They alias that packet.
func (d *Decoder) RawOptions() []byte {
	if len(d.tcp.Contents) < tcpHeader {
		return nil
	}
	return d.tcp.Contents[tcpHeader:]
}
