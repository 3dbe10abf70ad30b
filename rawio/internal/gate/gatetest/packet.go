package gatetest

import (
	"encoding/binary"
	"net/netip"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// What bpf/parse.h and bpf/options.h read of a packet, for the Model.

const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58

	protoFragment = 44

	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
	flagURG = 0x20
	flagECN = 0x40 | 0x80

	tcpHeader     = 20
	maxExtensions = 8
	maxBlocks     = 4
)

// direction says which end of a flow a packet's source is.
type direction bool

const (
	toClient direction = false
	toServer direction = true
)

// packet is a parsed IP packet; the offsets count from its start.
type packet struct {
	b        []byte
	l4, end  int
	protocol uint8
	fragment bool // the first of several
	later    bool // another one, perhaps of TCP
	src, dst netip.Addr
	flow     segment.Flow
}

var be = binary.BigEndian

// parseIP fails for what is not IP and for all fragments of a datagram but the
// first.
func parseIP(b []byte) (packet, bool) {
	p := packet{b: b}
	if len(b) < 20 {
		return p, false
	}
	switch b[0] >> 4 {
	case 4:
		p.l4 = int(b[0]&15) * 4
		p.end = int(be.Uint16(b[2:]))
		p.protocol = b[9]
		p.src, _ = netip.AddrFromSlice(b[12:16])
		p.dst, _ = netip.AddrFromSlice(b[16:20])
		field := be.Uint16(b[6:])
		p.fragment, p.later = field&0x2000 != 0, field&0x1fff != 0 && p.protocol == protoTCP
		if p.l4 < 20 || field&0x1fff != 0 {
			return p, false
		}
	case 6:
		if len(b) < 40 {
			return p, false
		}
		p.l4, p.protocol = 40, b[6]
		p.src, _ = netip.AddrFromSlice(b[8:24])
		p.dst, _ = netip.AddrFromSlice(b[24:40])
		if n := int(be.Uint16(b[4:])); n > 0 {
			p.end = 40 + n
		}
		for i := 0; i < maxExtensions && isExtension(p.protocol); i++ {
			if len(b) < p.l4+4 {
				return p, false
			}
			h := b[p.l4:]
			if p.protocol != protoFragment {
				p.l4 += (int(h[1]) + 1) * 8
			} else if field := be.Uint16(h[2:]); field&0xfff8 != 0 {
				p.later = h[0] == protoTCP || h[0] == 60
				return p, false
			} else {
				p.fragment = p.fragment || field&1 != 0
				p.l4 += 8
			}
			p.protocol = h[0]
		}
	default:
		return p, false
	}
	if p.end == 0 { // a super-packet above 64 KiB
		p.end = len(b)
	}
	return p, true
}

// isExtension reports whether the header is hop-by-hop, routing, fragment or
// destination options.
func isExtension(next uint8) bool {
	return next == 0 || next == 43 || next == protoFragment || next == 60
}

// ports completes the flow from the first four bytes of a TCP header.
func (p *packet) ports(tcp []byte, dir direction) {
	src := netip.AddrPortFrom(p.src.Unmap(), be.Uint16(tcp))
	dst := netip.AddrPortFrom(p.dst.Unmap(), be.Uint16(tcp[2:]))
	p.flow = segment.Flow{Client: dst, Server: src}
	if dir == toServer {
		p.flow = segment.Flow{Client: src, Server: dst}
	}
}

func (p *packet) tcp() []byte     { return p.b[p.l4:] }
func (p *packet) flags() uint8    { return p.tcp()[13] }
func (p *packet) headerLen() int  { return int(p.tcp()[12]>>4) * 4 }
func (p *packet) options() []byte { return p.tcp()[tcpHeader:p.headerLen()] }

// valid reports whether the TCP header lies inside the packet.
func (p *packet) valid() bool {
	n := p.headerLen()
	return n >= tcpHeader && p.l4+n <= p.end && p.end <= len(p.b)
}

// fields are the offsets of options in the TCP header; 0: absent.
type fields struct {
	ts     int // of TSval
	sack   int // of the SACK option's kind
	blocks int
}

// nextOption returns the length of the option at opt[i], or 0 if the options
// end there or make no sense from there on.
func nextOption(opt []byte, i int) int {
	switch {
	case opt[i] == 0:
		return 0
	case opt[i] == 1:
		return 1
	case i+1 >= len(opt) || opt[i+1] < 2 || i+int(opt[i+1]) > len(opt):
		return 0
	}
	return int(opt[i+1])
}

func (p *packet) find() (f fields) {
	opt := p.options()
	for i := 0; i < len(opt); {
		n := nextOption(opt, i)
		if n == 0 {
			break
		}
		if opt[i] == 8 && n == 10 {
			f.ts = tcpHeader + i + 2
		}
		if opt[i] == 5 && n >= 10 {
			f.sack, f.blocks = tcpHeader+i, min((n-2)/8, maxBlocks)
		}
		i += n
	}
	return f
}

// put32 and put16 change a field and the checksum at offset csum, as the
// kernel's helper does it: by the difference (RFC 1624). Both offsets count
// from h's start, which must be even in the checksummed range.
func put32(h []byte, at int, v uint32, csum int) {
	var old [4]byte
	copy(old[:], h[at:])
	be.PutUint32(h[at:], v)
	adjust(h, at, old[:], csum)
}

func put16(h []byte, at int, v uint16, csum int) {
	var old [2]byte
	copy(old[:], h[at:])
	be.PutUint16(h[at:], v)
	adjust(h, at, old[:], csum)
}

func adjust(h []byte, at int, old []byte, csum int) {
	sum := uint64(^be.Uint16(h[csum:]))
	for i, o := range old {
		shift := 8
		if (at+i)&1 == 1 {
			shift = 0
		}
		sum += uint64(h[at+i])<<shift + uint64(0xffff^uint16(o)<<shift)
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	be.PutUint16(h[csum:], ^uint16(sum))
}

func after(a, b uint32) bool { return seqnum.Less(b, a) }
