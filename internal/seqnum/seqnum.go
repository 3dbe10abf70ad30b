// Package seqnum is the serial arithmetic of TCP sequence numbers (RFC 9293,
// section 3.4; RFC 1982). Numbers are 32 bits wide and wrap: a comparison is
// meaningful only for two numbers less than 2³¹ apart.
package seqnum

// Diff returns the signed distance from b to a: positive when a lies after b.
func Diff(a, b uint32) int32 { return int32(a - b) }

// Less reports whether a lies before b.
func Less(a, b uint32) bool { return int32(a-b) < 0 }

// LEQ reports whether a lies before b or is equal to it.
func LEQ(a, b uint32) bool { return int32(a-b) <= 0 }

// Max returns the later of a and b.
func Max(a, b uint32) uint32 {
	if Less(a, b) {
		return b
	}
	return a
}

// Min returns the earlier of a and b.
func Min(a, b uint32) uint32 {
	if Less(a, b) {
		return a
	}
	return b
}

// Unwrap returns the 64-bit offset whose low 32 bits, counted from base, are
// the number seq and which lies closest to near. It turns sequence numbers
// into stream offsets: near is an offset known to be less than 2³¹ away.
func Unwrap(seq, base uint32, near int64) int64 {
	return near + int64(Diff(seq-base, uint32(near)))
}
