package segment

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// hopLimit is the TTL of encoded packets, the default of Linux (ip_default_ttl).
const hopLimit = 64

// Stay changes a whole packet in place so that no host forwards it (TTL, hop limit).
func Stay(packet []byte) {
	switch {
	case len(packet) >= ipv4Header && packet[0]>>4 == 4:
		packet[8] = 1
		fillHeader4(packet)
	case len(packet) >= ipv6Header && packet[0]>>4 == 6:
		packet[7] = 1
	}
}

// encoder holds the layers of one packet; they are reused so that encoding
// into a buffer that is large enough does not allocate.
type encoder struct {
	ip4      layers.IPv4
	ip6      layers.IPv6
	tcp      layers.TCP
	src, dst [16]byte
	raw      [64]byte             // option bytes; larger than allowed, so that overflow is seen
	options  [24]layers.TCPOption // as many as maxOptions bytes of Append's output can hold
	out      tail
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// Append appends the segment to buf as a whole IP packet with both checksums:
// hop limit 64, don't-fragment, no IP options. Urgent is written as it is;
// FastOpen, MPTCP, MD5 and AO are not written (see Options). On an error
// (ErrAddress, ErrOptions, ErrTooLong) it returns buf unchanged.
func (s *Segment) Append(buf []byte) ([]byte, error) {
	src, dst := s.Src.Addr(), s.Dst.Addr()
	if !src.IsValid() || src.BitLen() != dst.BitLen() || src.Is4In6() || dst.Is4In6() || src.Zone() != "" || dst.Zone() != "" {
		return buf, ErrAddress
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	raw, err := s.Options.Append(e.raw[:0])
	if err != nil {
		return buf, err
	}
	network := ipv4Header
	if src.Is6() {
		network = ipv6Header
	}
	transport := tcpHeader + len(raw) + len(s.Payload)
	total := network + transport
	if src.Is4() && total > maxPacket || transport > maxPacket {
		return buf, ErrTooLong
	}

	start := len(buf)
	grown := slices.Grow(buf, total)[:start+total]
	packet := grown[start:]
	copy(packet[total-len(s.Payload):], s.Payload)
	e.out = tail{buf: packet, at: total - len(s.Payload)}
	if err := e.transport(s, raw); err != nil {
		return buf, err
	}
	if src.Is4() {
		*(*[4]byte)(e.src[:]), *(*[4]byte)(e.dst[:]) = src.As4(), dst.As4()
		err = e.network4(s.TOS)
	} else {
		e.src, e.dst = src.As16(), dst.As16()
		err = e.network6(s.TOS)
	}
	e.out = tail{}
	if err != nil {
		return buf, err
	}
	// Filled in here rather than by the layer: see sum.
	tcp := packet[network:]
	binary.BigEndian.PutUint16(tcp[16:], ^sumTCP(src, dst, tcp, nil))
	return grown, nil
}

func (e *encoder) transport(s *Segment, raw []byte) error {
	f := s.Flags
	e.tcp = layers.TCP{
		SrcPort: layers.TCPPort(s.Src.Port()), DstPort: layers.TCPPort(s.Dst.Port()),
		Seq: s.Seq, Ack: s.Ack, Window: s.Window, Urgent: s.Urgent,
		FIN: f.Has(FIN), SYN: f.Has(SYN), RST: f.Has(RST), PSH: f.Has(PSH), ACK: f.Has(ACK),
		URG: f.Has(URG), ECE: f.Has(ECE), CWR: f.Has(CWR), NS: f.Has(AE),
		Options: e.options[:0],
	}
	for len(raw) > 0 {
		o := layers.TCPOption{OptionType: layers.TCPOptionKind(raw[0]), OptionLength: 1}
		if o.OptionType != layers.TCPOptionKindNop {
			o.OptionLength = raw[1]
			o.OptionData = raw[2:raw[1]]
		}
		e.tcp.Options = append(e.tcp.Options, o)
		raw = raw[o.OptionLength:]
	}
	return e.tcp.SerializeTo(&e.out, gopacket.SerializeOptions{FixLengths: true})
}

func (e *encoder) network4(tos uint8) error {
	e.ip4 = layers.IPv4{
		Version: 4, TOS: tos, TTL: hopLimit, Protocol: layers.IPProtocolTCP,
		// An atomic datagram needs no identification (RFC 6864).
		Flags: layers.IPv4DontFragment,
		SrcIP: e.src[:4], DstIP: e.dst[:4],
	}
	return e.ip4.SerializeTo(&e.out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true})
}

func (e *encoder) network6(tos uint8) error {
	e.ip6 = layers.IPv6{
		Version: 6, TrafficClass: tos, HopLimit: hopLimit, NextHeader: layers.IPProtocolTCP,
		SrcIP: e.src[:], DstIP: e.dst[:],
	}
	return e.ip6.SerializeTo(&e.out, gopacket.SerializeOptions{FixLengths: true})
}

// tail is a gopacket.SerializeBuffer over the caller's memory: layers prepend
// their headers in front of what is there, up to the start of buf.
type tail struct {
	buf []byte
	at  int
}

var _ gopacket.SerializeBuffer = (*tail)(nil)

func (t *tail) Bytes() []byte { return t.buf[t.at:] }

func (t *tail) PrependBytes(n int) ([]byte, error) {
	if n > t.at {
		return nil, ErrTooLong
	}
	t.at -= n
	b := t.buf[t.at : t.at+n]
	clear(b)
	return b, nil
}

func (t *tail) AppendBytes(int) ([]byte, error)    { return nil, ErrTooLong }
func (t *tail) Clear() error                       { t.at = len(t.buf); return nil }
func (t *tail) Layers() []gopacket.LayerType       { return nil }
func (t *tail) PushLayer(layer gopacket.LayerType) {}
