package segment

import "errors"

// Errors of Decode. They are returned as they are, without a wrapper, so that
// a flood of bad packets costs no allocation.
var (
	// ErrNotTCP is returned when the packet is not TCP over IPv4 or IPv6.
	ErrNotTCP = errors.New("segment: not a TCP packet")
	// ErrFragment is returned for an IP fragment, the first one included.
	ErrFragment = errors.New("segment: IP fragment")
	// ErrTruncated is returned when the packet ends before its IP length says.
	ErrTruncated = errors.New("segment: truncated packet")
	// ErrChecksum is returned when the IPv4 header checksum is wrong, or the
	// TCP checksum under ChecksumVerify.
	ErrChecksum = errors.New("segment: wrong checksum")
	// ErrMalformed is returned when a header contradicts itself; the kernel
	// drops such a packet too.
	ErrMalformed = errors.New("segment: malformed header")
)

// Errors of Append.
var (
	// ErrAddress is returned when an address is missing, mapped, has a zone, or
	// the two are of different families.
	ErrAddress = errors.New("segment: unusable address pair")
	// ErrOptions is returned when the options need more than 40 bytes, or one
	// is out of its range.
	ErrOptions = errors.New("segment: options do not fit")
	// ErrTooLong is returned when the packet would exceed the IP length field.
	ErrTooLong = errors.New("segment: payload does not fit an IP packet")
)
