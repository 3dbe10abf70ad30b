package wire

import (
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/ftnet/ftnet/logserver"
)

var be = binary.BigEndian

// cursor takes a payload apart. After something was missing or wrong it
// returns zero values, and ok says so.
type cursor struct {
	p   []byte
	bad bool
}

// ok reports whether all was there and nothing is left.
func (c *cursor) ok() bool { return !c.bad && len(c.p) == 0 }

func (c *cursor) take(n int) []byte {
	if c.bad || n > len(c.p) {
		c.bad = true
		return nil
	}
	p := c.p[:n:n]
	c.p = c.p[n:]
	return p
}

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return be.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return be.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return be.Uint64(p)
	}
	return 0
}

func (c *cursor) zero(n int) {
	for _, b := range c.take(n) {
		c.bad = c.bad || b != 0
	}
}

func (c *cursor) flag() bool {
	v := c.u8()
	c.bad = c.bad || v > 1
	return v == 1
}

func (c *cursor) id() logserver.ConnID { return logserver.ConnID(c.u64()) }

// offset is a number of bytes, which is not negative.
func (c *cursor) offset() int64 {
	v := c.u64()
	if v > math.MaxInt64 {
		c.bad = true
		return 0
	}
	return int64(v)
}

func (c *cursor) text() string { return string(c.take(int(c.u8()))) }

// options are TCP options, nil if there are none.
func (c *cursor) options() []byte {
	n := int(c.u8())
	if n > logserver.MaxOptions {
		c.bad = true
	}
	if p := c.take(n); len(p) > 0 {
		return append([]byte(nil), p...)
	}
	return nil
}

// Address families as they are written.
const (
	familyNone = 0
	family4    = 4
	family6    = 6
)

func (c *cursor) endpoint() netip.AddrPort {
	var addr netip.Addr
	switch c.u8() {
	case familyNone:
	case family4:
		if p := c.take(4); p != nil {
			addr = netip.AddrFrom4([4]byte(p))
		}
	case family6:
		p := c.take(16)
		zone := c.text()
		if p != nil {
			addr = netip.AddrFrom16([16]byte(p)).WithZone(zone)
			c.bad = c.bad || addr.Is4In6() // IPv4 is written as such
		}
	default:
		c.bad = true
	}
	return netip.AddrPortFrom(addr, c.u16())
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint8)]
	return append(append(b, byte(len(s))), s...)
}

func appendEndpoint(b []byte, ep netip.AddrPort) []byte {
	switch addr := ep.Addr(); {
	case !addr.IsValid():
		b = append(b, familyNone)
	case addr.Unmap().Is4():
		p := addr.Unmap().As4()
		b = append(append(b, family4), p[:]...)
	default:
		p := addr.As16()
		b = append(append(b, family6), p[:]...)
		b = appendText(b, addr.Zone())
	}
	return be.AppendUint16(b, ep.Port())
}
