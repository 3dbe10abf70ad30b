package segment

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"
)

// Option kinds that gopacket has no name for (IANA TCP parameters).
const (
	kindMD5      layers.TCPOptionKind = 19  // RFC 2385
	kindAO       layers.TCPOptionKind = 29  // RFC 5925
	kindMPTCP    layers.TCPOptionKind = 30  // RFC 8684
	kindFastOpen layers.TCPOptionKind = 34  // RFC 7413
	kindExp      layers.TCPOptionKind = 254 // RFC 6994: an identifier follows

	expFastOpen = 0xF989 // RFC 7413, appendix A
)

const (
	maxOptions = 40 // bytes: the header's length field counts to 60
	maxWScale  = 14 // RFC 7323, section 2.3: larger values mean 14
)

// Block is one SACK block (RFC 2018): the bytes from Left up to, not with, Right.
type Block struct{ Left, Right uint32 }

// Options are the TCP options that a protected connection can meet. The last
// four only say what a decoded segment carried: they are never encoded, for
// none of them survives a reconnection.
type Options struct {
	MSS           uint16 // 0: not present
	WScale        uint8  // 0 to 14
	HasWScale     bool
	SACKPermitted bool
	HasTS         bool
	TSVal, TSEcr  uint32
	SACK          [4]Block
	NSACK         int // blocks in SACK, 0 to 4

	FastOpen, MPTCP, MD5, AO bool
}

// Blocks returns the SACK blocks, newest first as on the wire. The slice
// aliases o.
func (o *Options) Blocks() []Block { return o.SACK[:min(max(o.NSACK, 0), len(o.SACK))] }

// ParseOptions decodes the option bytes of a TCP header, as they are kept in a
// connection's metadata. Like the kernel's tcp_parse_options it is lenient:
// options of a wrong length are passed over, a broken length ends the walk.
func ParseOptions(raw []byte) Options {
	var o Options
	for len(raw) > 0 {
		kind := layers.TCPOptionKind(raw[0])
		switch {
		case kind == layers.TCPOptionKindEndList:
			return o
		case kind == layers.TCPOptionKindNop:
			raw = raw[1:]
			continue
		case len(raw) < 2 || raw[1] < 2 || int(raw[1]) > len(raw):
			return o
		}
		o.take(kind, raw[2:raw[1]])
		raw = raw[raw[1]:]
	}
	return o
}

// take interprets one option. A later option of a kind wins, as in the kernel.
func (o *Options) take(kind layers.TCPOptionKind, data []byte) {
	switch kind {
	case layers.TCPOptionKindMSS:
		if len(data) == 2 {
			if mss := binary.BigEndian.Uint16(data); mss != 0 {
				o.MSS = mss
			}
		}
	case layers.TCPOptionKindWindowScale:
		if len(data) == 1 {
			o.WScale, o.HasWScale = min(data[0], maxWScale), true
		}
	case layers.TCPOptionKindSACKPermitted:
		if len(data) == 0 {
			o.SACKPermitted = true
		}
	case layers.TCPOptionKindTimestamps:
		if len(data) == 8 {
			o.TSVal = binary.BigEndian.Uint32(data)
			o.TSEcr = binary.BigEndian.Uint32(data[4:])
			o.HasTS = true
		}
	case layers.TCPOptionKindSACK:
		o.takeSACK(data)
	case kindMD5:
		o.MD5 = true
	case kindAO:
		o.AO = true
	case kindMPTCP:
		o.MPTCP = true
	case kindFastOpen:
		o.FastOpen = true
	case kindExp:
		if len(data) >= 2 && binary.BigEndian.Uint16(data) == expFastOpen {
			o.FastOpen = true
		}
	}
}

func (o *Options) takeSACK(data []byte) {
	if len(data) == 0 || len(data)%8 != 0 || len(data) > 8*len(o.SACK) {
		return
	}
	o.SACK = [4]Block{}
	o.NSACK = len(data) / 8
	for i := range o.NSACK {
		o.SACK[i] = Block{binary.BigEndian.Uint32(data[8*i:]), binary.BigEndian.Uint32(data[8*i+4:])}
	}
}

// Append appends the options in the order and with the alignment that Linux
// uses (tcp_options_write), padded to a multiple of four bytes. It returns
// ErrOptions if they need more than 40 bytes or a value is out of its range.
func (o *Options) Append(buf []byte) ([]byte, error) {
	const nop = layers.TCPOptionKindNop
	if o.NSACK < 0 || o.NSACK > len(o.SACK) || o.WScale > maxWScale {
		return buf, ErrOptions
	}
	start := len(buf)
	if o.MSS != 0 {
		buf = append(buf, layers.TCPOptionKindMSS, 4)
		buf = binary.BigEndian.AppendUint16(buf, o.MSS)
	}
	if o.SACKPermitted {
		if !o.HasTS {
			buf = append(buf, nop, nop)
		}
		buf = append(buf, layers.TCPOptionKindSACKPermitted, 2)
	}
	if o.HasTS {
		if !o.SACKPermitted {
			buf = append(buf, nop, nop)
		}
		buf = append(buf, layers.TCPOptionKindTimestamps, 10)
		buf = binary.BigEndian.AppendUint32(buf, o.TSVal)
		buf = binary.BigEndian.AppendUint32(buf, o.TSEcr)
	}
	if o.HasWScale {
		buf = append(buf, nop, layers.TCPOptionKindWindowScale, 3, o.WScale)
	}
	if o.NSACK > 0 {
		buf = append(buf, nop, nop, layers.TCPOptionKindSACK, byte(2+8*o.NSACK))
		for _, b := range o.Blocks() {
			buf = binary.BigEndian.AppendUint32(buf, b.Left)
			buf = binary.BigEndian.AppendUint32(buf, b.Right)
		}
	}
	if len(buf)-start > maxOptions {
		return buf[:start], ErrOptions
	}
	return buf, nil
}
