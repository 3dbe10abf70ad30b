package record

import (
	"encoding/binary"
	"math"
	"net/netip"
)

var be = binary.BigEndian

// Cursor takes bytes apart that a stranger may have written: every length is checked
// before anything is allocated for it. After something was missing or wrong it returns
// zero values, and Done says so. What it accepts has one encoding only.
type Cursor struct {
	p   []byte
	bad bool
}

// NewCursor returns one at the beginning of p, which must not change while it is in use.
func NewCursor(p []byte) Cursor { return Cursor{p: p} }

// Done reports whether all was there and nothing is left.
func (c *Cursor) Done() bool { return !c.bad && len(c.p) == 0 }

// More reports whether something is left and nothing was wrong.
func (c *Cursor) More() bool { return !c.bad && len(c.p) > 0 }

// Bad reports whether something was missing or wrong.
func (c *Cursor) Bad() bool { return c.bad }

// Refuse makes the bytes wrong if the condition holds.
func (c *Cursor) Refuse(wrong bool) { c.bad = c.bad || wrong }

// Rest returns what is left, without taking it.
func (c *Cursor) Rest() []byte { return c.p }

// Take returns the next n bytes, which are not copied, or nil.
func (c *Cursor) Take(n int) []byte {
	if c.bad || n > len(c.p) {
		c.bad = true
		return nil
	}
	p := c.p[:n:n]
	c.p = c.p[n:]
	return p
}

// U8 takes one byte.
func (c *Cursor) U8() uint8 {
	if p := c.Take(1); p != nil {
		return p[0]
	}
	return 0
}

// U16 takes two bytes, the most significant one first, as U32 and U64 do.
func (c *Cursor) U16() uint16 {
	if p := c.Take(2); p != nil {
		return be.Uint16(p)
	}
	return 0
}

// U32 takes four bytes.
func (c *Cursor) U32() uint32 {
	if p := c.Take(4); p != nil {
		return be.Uint32(p)
	}
	return 0
}

// U64 takes eight bytes.
func (c *Cursor) U64() uint64 {
	if p := c.Take(8); p != nil {
		return be.Uint64(p)
	}
	return 0
}

// Uvarint takes a number of seven bits a byte, the lowest first: [binary.AppendUvarint].
func (c *Cursor) Uvarint() uint64 {
	v, n := binary.Uvarint(c.p)
	if c.bad || n <= 0 || n > 1 && c.p[n-1] == 0 { // it could be shorter
		c.bad = true
		return 0
	}
	c.p = c.p[n:]
	return v
}

// Varint takes a number with a sign: [binary.AppendVarint].
func (c *Cursor) Varint() int64 {
	v := c.Uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// Offset takes eight bytes that are a number of bytes, which is not negative.
func (c *Cursor) Offset() int64 {
	v := c.U64()
	if v > math.MaxInt64 {
		c.bad = true
		return 0
	}
	return int64(v)
}

// Flag takes one byte, which is 0 or 1.
func (c *Cursor) Flag() bool {
	v := c.U8()
	c.Refuse(v > 1)
	return v == 1
}

// Text takes what AppendText has written.
func (c *Cursor) Text() string { return string(c.Take(int(c.U8()))) }

// AppendText writes the length of s in one byte, and s, of which it drops what is beyond
// 255 bytes.
func AppendText(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint8)]
	return append(append(b, byte(len(s))), s...)
}

// Address families as they are written.
const (
	familyNone = 0
	family4    = 4
	family6    = 6
)

// Endpoint takes what AppendEndpoint has written.
func (c *Cursor) Endpoint() netip.AddrPort {
	var addr netip.Addr
	switch c.U8() {
	case familyNone:
	case family4:
		if p := c.Take(4); p != nil {
			addr = netip.AddrFrom4([4]byte(p))
		}
	case family6:
		p := c.Take(16)
		zone := c.Text()
		if p != nil {
			addr = netip.AddrFrom16([16]byte(p)).WithZone(zone)
			c.Refuse(addr.Is4In6()) // IPv4 is written as such
		}
	default:
		c.bad = true
	}
	return netip.AddrPortFrom(addr, c.U16())
}

// AppendEndpoint writes the address's family (4, 6, or 0 if it is invalid), the address, for
// IPv6 its zone as a text, and the port.
func AppendEndpoint(b []byte, ep netip.AddrPort) []byte {
	switch addr := ep.Addr(); {
	case !addr.IsValid():
		b = append(b, familyNone)
	case addr.Unmap().Is4():
		p := addr.Unmap().As4()
		b = append(append(b, family4), p[:]...)
	default:
		p := addr.As16()
		b = append(append(b, family6), p[:]...)
		b = AppendText(b, addr.Zone())
	}
	return be.AppendUint16(b, ep.Port())
}
