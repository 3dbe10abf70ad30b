package segment

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Checksum says who answers for the TCP checksum of a packet.
type Checksum int

const (
	// ChecksumVerify makes Decode verify the TCP checksum.
	ChecksumVerify Checksum = iota
	// ChecksumTrusted makes Decode believe it: the kernel or the device has
	// verified it, or it is partial because the packet never left the host.
	ChecksumTrusted
)

const protoTCP = 6

// sum adds b to a ones' complement sum of big-endian 16-bit words (RFC 1071),
// eight bytes at a time. gopacket's loop takes two bytes a step, which is what
// a 64 KiB packet would spend most of its decoding in.
func sum(b []byte, acc uint64) uint64 {
	var carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		acc, carry = bits.Add64(acc, 0, carry)
		acc += carry
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(last[:]), 0)
		acc += carry
	}
	return acc
}

// fold returns the 16-bit ones' complement sum; 0xffff is a correct checksum.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// sumTCP returns the sum over the pseudo header (RFC 9293, section 3.1; RFC
// 8200, section 8.1) and the TCP header with its payload. tcp may go on in rest,
// if its length is even.
func sumTCP(src, dst netip.Addr, tcp, rest []byte) uint16 {
	acc := protoTCP + uint64(len(tcp)+len(rest))
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		acc += uint64(binary.BigEndian.Uint32(a[:])) + uint64(binary.BigEndian.Uint32(b[:]))
	} else {
		a, b := src.As16(), dst.As16()
		acc = sum(b[:], sum(a[:], acc))
	}
	return fold(sum(rest, sum(tcp, acc)))
}
