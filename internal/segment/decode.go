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
)

// Decoder decodes packets into segments. It keeps the layers' buffers, so that
// decoding does not allocate; a Decoder serves one goroutine at a time. The
// zero value is ready.
type Decoder struct {
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
		tcp, length, err = network4(packet, length)
		if err != nil {
			return err
		}
		src, dst = netip.AddrFrom4([4]byte(packet[12:])), netip.AddrFrom4([4]byte(packet[16:]))
		s.TOS = packet[1]
	case 6:
		tcp, length, err = network6(packet, length)
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
