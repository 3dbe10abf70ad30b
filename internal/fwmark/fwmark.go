// Package fwmark reads firewall marks as ip-rule(8) and nft(8) write them.
package fwmark

import (
	"fmt"
	"strconv"
	"strings"
)

// Mark is some bits of a packet's mark. The zero Mark has none. It implements
// pflag.Value.
type Mark struct{ Value, Mask uint32 }

// Parse reads VALUE/MASK or VALUE, of which the mask is all bits; both decimal, or
// hexadecimal behind 0x. A bit of the value outside of the mask is an error.
func Parse(s string) (m Mark, err error) {
	value, mask, masked := strings.Cut(s, "/")
	m.Mask = ^uint32(0)
	if m.Value, err = number(value); err == nil && masked {
		m.Mask, err = number(mask)
	}
	switch {
	case err != nil:
		return Mark{}, fmt.Errorf("%q is no mark: write for example 0x10/0xff", s)
	case m.Value&^m.Mask != 0:
		return Mark{}, fmt.Errorf("%q has bits outside of its mask", s)
	}
	return m, nil
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 0, 32)
	return uint32(n), err
}

// Apply returns mark with these bits.
func (m Mark) Apply(mark uint32) uint32 { return mark&^m.Mask | m.Value }

// String returns what Parse reads; "" for no bits.
func (m Mark) String() string {
	if m == (Mark{}) {
		return ""
	}
	return fmt.Sprintf("%#x/%#x", m.Value, m.Mask)
}

// Set is Parse.
func (m *Mark) Set(s string) (err error) {
	*m, err = Parse(s)
	return err
}

// Type is the name of the flag's value in its usage.
func (*Mark) Type() string { return "VALUE/MASK" }
