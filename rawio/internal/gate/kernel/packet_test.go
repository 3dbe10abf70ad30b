package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58

	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
	flagURG = 0x20
	flagECN = 0x40 | 0x80

	tcpHeader = 20
)

var be = binary.BigEndian

// packet is a whole TCP packet without IP options or extension headers.
type packet struct {
	b       []byte
	l4, end int
	flow    segment.Flow // if the server sends it
}

// parseIP fails for what is none.
func parseIP(b []byte) (*packet, bool) {
	p := &packet{b: b}
	var src, dst netip.Addr
	switch {
	case len(b) >= 40+tcpHeader && b[0]>>4 == 6 && b[6] == protoTCP:
		p.l4, p.end = 40, int(be.Uint16(b[4:]))
		if p.end > 0 {
			p.end += 40
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	case len(b) >= 20+tcpHeader && b[0] == 0x45 && b[9] == protoTCP:
		p.l4, p.end = 20, int(be.Uint16(b[2:]))
		src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	default:
		return nil, false
	}
	if p.end == 0 { // a super-packet above 64 KiB
		p.end = len(b)
	}
	p.flow = segment.Flow{
		Client: netip.AddrPortFrom(dst, be.Uint16(p.tcp()[2:])), Server: netip.AddrPortFrom(src, be.Uint16(p.tcp())),
	}
	return p, p.headerLen() >= tcpHeader && p.l4+p.headerLen() <= p.end
}

func (p *packet) tcp() []byte     { return p.b[p.l4:] }
func (p *packet) flags() uint8    { return p.tcp()[13] }
func (p *packet) headerLen() int  { return int(p.tcp()[12]>>4) * 4 }
func (p *packet) options() []byte { return p.tcp()[tcpHeader:p.headerLen()] }

// layout is how a test packet arranges its options.
type layout int

const (
	noTimestamps layout = iota
	aligned             // NOP NOP TS NOP NOP SACK, as Linux does it
	odd                 // NOP TS SACK: every field at an odd offset
)

// tcp describes a test packet.
type tcp struct {
	v6, toServer bool
	layout       layout
	seq, ack     uint32
	flags        uint8
	ae           bool // the flag beyond them (RFC 9768)
	window       uint16
	tsVal, tsEcr uint32
	sack         [][2]uint32
	nopSACK      int    // instead of blocks: that many bytes of NOPs
	raw          []byte // option bytes instead of the above
	payload      int
	extensions   int // IPv6 destination options headers
	fragment     bool
	later        bool // with fragment: it is not the first
	cut          int  // with fragment: how many bytes of TCP are in it; 0: all
}

const (
	servicePort = 7000
	clientPort  = 40000
)

func testFlow(v6 bool) segment.Flow {
	c, s := "192.0.2.7", "10.0.0.1"
	if v6 {
		c, s = "2001:db8::7", "fd00::1"
	}
	return segment.Flow{
		Client: netip.AddrPortFrom(netip.MustParseAddr(c), clientPort),
		Server: netip.AddrPortFrom(netip.MustParseAddr(s), servicePort),
	}
}

func (p tcp) options() []byte {
	if p.raw != nil {
		return p.raw
	}
	var o []byte
	pad := func() {
		if p.layout != odd {
			o = append(o, 1, 1)
		} else if len(o) == 0 {
			o = append(o, 1)
		}
	}
	if p.layout != noTimestamps {
		pad()
		o = append(o, 8, 10)
		o = be.AppendUint32(o, p.tsVal)
		o = be.AppendUint32(o, p.tsEcr)
	}
	if p.nopSACK > 0 {
		pad()
		for range p.nopSACK {
			o = append(o, 1)
		}
	}
	if len(p.sack) > 0 {
		pad()
		o = append(o, 5, byte(2+8*len(p.sack)))
		for _, b := range p.sack {
			o = be.AppendUint32(o, b[0])
			o = be.AppendUint32(o, b[1])
		}
	}
	for len(o)%4 != 0 {
		o = append(o, 0)
	}
	return o
}

func (p tcp) bytes() []byte {
	opt := p.options()
	h := make([]byte, 20, 20+len(opt)+p.payload)
	flow := testFlow(p.v6)
	src, dst := flow.Server, flow.Client
	if p.toServer {
		src, dst = dst, src
	}
	be.PutUint16(h[0:], src.Port())
	be.PutUint16(h[2:], dst.Port())
	be.PutUint32(h[4:], p.seq)
	be.PutUint32(h[8:], p.ack)
	h[12] = byte(20+len(opt)) / 4 << 4
	h[13] = p.flags
	if p.ae {
		h[12] |= 1
	}
	be.PutUint16(h[14:], p.window)
	h = append(h, opt...)
	for i := range p.payload {
		h = append(h, byte(i*7))
	}
	be.PutUint16(h[16:], tcpChecksum(src.Addr(), dst.Addr(), h))
	if p.cut > 0 {
		h = h[:p.cut]
	}
	return p.ip(src.Addr(), dst.Addr(), protoTCP, h)
}

// ip puts an IP header before body.
func (p tcp) ip(src, dst netip.Addr, protocol uint8, body []byte) []byte {
	if p.v6 {
		for range p.extensions {
			body = append([]byte{protocol, 0, 1, 4, 0, 0, 0, 0}, body...)
			protocol = 60
		}
		if p.fragment {
			field := byte(1)
			if p.later {
				field = 8
			}
			body = append([]byte{protocol, 0, 0, field, 0, 0, 0, 9}, body...)
			protocol = 44
		}
		b := make([]byte, 40, 40+len(body))
		b[0], b[6], b[7] = 0x60, protocol, 64
		be.PutUint16(b[4:], uint16(len(body)))
		copy(b[8:], src.AsSlice())
		copy(b[24:], dst.AsSlice())
		return append(b, body...)
	}
	b := make([]byte, 20, 20+len(body))
	b[0], b[8], b[9] = 0x45, 64, protocol
	be.PutUint16(b[2:], uint16(20+len(body)))
	if p.fragment {
		be.PutUint16(b[6:], 0x2000)
		if p.later {
			be.PutUint16(b[6:], 1)
		}
	}
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	be.PutUint16(b[10:], ^onesSum(0, b))
	return append(b, body...)
}

// icmp returns an ICMP error of the given type and code that quotes the packet
// p; it travels against p.
func (p tcp) icmp(typ, code byte, mtu uint32) []byte {
	quote := p.bytes()
	body := append([]byte{typ, code, 0, 0, 0, 0, 0, 0}, quote[:min(len(quote), 120)]...)
	flow := testFlow(p.v6)
	src, dst := flow.Client, flow.Server
	if p.toServer {
		src, dst = dst, src
	}
	be.PutUint32(body[4:], mtu)
	protocol, sum := uint8(protoICMP), uint32(0)
	if p.v6 {
		protocol = protoICMPv6
		sum = pseudo(src.Addr(), dst.Addr(), protocol, len(body))
	}
	be.PutUint16(body[2:], ^onesSum(sum, body))
	p.fragment, p.extensions = false, 0
	return p.ip(src.Addr(), dst.Addr(), protocol, body)
}

// onesSum is the ones' complement sum of 16-bit words (RFC 1071).
func onesSum(sum uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(be.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

func tcpChecksum(src, dst netip.Addr, h []byte) uint16 {
	return ^onesSum(pseudo(src, dst, protoTCP, len(h)), h)
}

// pseudo is the sum of the pseudo-header before n bytes (RFC 9293, section 3.1).
func pseudo(src, dst netip.Addr, protocol uint8, n int) uint32 {
	return uint32(onesSum(0, src.AsSlice())) + uint32(onesSum(0, dst.AsSlice())) + uint32(protocol) + uint32(n)
}

// slotState is a Slot's contents, for comparison.
type slotState struct {
	Mode                                                gate.Mode
	Flags                                               gate.SlotFlags
	Stable, Delta, TSDelta, Limit, High, IRS, Gen, Base uint32
	KScale, CScale                                      uint8

	Held                                            bool
	Ack, Edge, SndNxt, TSVal, TSEcr, FINEnd, HeldIn uint32
	HFlags                                          uint8
	BareACKs                                        uint32
	FIN, Aborted, Noted                             bool
	Egress                                          uint32
	Released                                        gate.Released
	Opened                                          gate.Opened
}

func (w slotState) store(s *gate.Slot) {
	s.Begin(w.Gen, w.IRS, &gate.Image{
		Flags: w.Flags, Limit: w.Limit, Stable: w.Stable, High: w.High,
		Delta: w.Delta, TSDelta: w.TSDelta, Base: w.Base, KernelScale: w.KScale, ClientScale: w.CScale,
		SndNxt: w.SndNxt, Ack: w.Ack, Edge: w.Edge, TSVal: w.TSVal, TSEcr: w.TSEcr,
	})
	if w.Held {
		s.GateSide().Hold(w.HFlags)
	}
	if w.FIN {
		s.SetFIN(w.FINEnd)
	}
	if w.Aborted {
		s.GateSide().Abort()
	}
	if w.Noted {
		s.NoteRelease()
	}
	s.SetReleased(w.Released)
	s.GateSide().Open(w.Opened)
	s.SetMode(w.Mode)
}

func loadState(s *gate.Slot) slotState {
	end, fin := s.FIN()
	kernel, client := s.Scales()
	return slotState{
		Mode: s.Mode(), Flags: s.Flags(), Stable: s.Stable(), Delta: s.Delta(), TSDelta: s.TSDelta(),
		Limit: s.Limit(), High: s.High(), IRS: s.IRS(), Gen: s.Gen(), Base: s.Base(), KScale: kernel, CScale: client,
		Held: s.Held(), Ack: s.Ack(), Edge: s.Edge(), SndNxt: s.SndNxt(), TSVal: s.TSVal(), TSEcr: s.TSEcr(),
		HFlags: s.HeldFlags(), BareACKs: s.BareACKs(), FIN: fin, FINEnd: end, Aborted: s.Aborted(), Noted: s.Noted(), Egress: s.Egress(), HeldIn: s.HeldIn(),
		Released: s.Released(), Opened: s.WhyOpened(),
	}
}

// frame puts the IP packet into an Ethernet frame, with a priority tag (IEEE 802.1Q, VLAN 0) if wanted.
func frame(ip []byte, vlan bool) []byte {
	f := make([]byte, 12, 18+len(ip))
	if vlan {
		f = append(f, 0x81, 0, 0x60, 0) // priority 3, no VLAN
	}
	if ip[0]>>4 == 6 {
		f = append(f, 0x86, 0xdd)
	} else {
		f = append(f, 0x08, 0)
	}
	return append(f, ip...)
}

// skbContext is the beginning of struct __sk_buff, as far as a test run takes it.
type skbContext struct {
	_              [2]uint32
	Mark           uint32
	_              [5]uint32
	Priority       uint32
	IngressIfIndex uint32
	IfIndex        uint32
}
