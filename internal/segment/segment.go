package segment

import "net/netip"

// Flags are the control bits of a TCP header (RFC 9293, section 3.1). AE is the
// accurate-ECN bit, which RFC 3540 had called NS.
type Flags uint16

// The control bits, as they stand in bytes 12 and 13 of the header.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

// Has reports whether all bits of want are set.
func (f Flags) Has(want Flags) bool { return f&want == want }

// Any reports whether at least one bit of want is set.
func (f Flags) Any(want Flags) bool { return f&want != 0 }

// Segment is one TCP segment with the parts of its IP header that matter to a
// connection. A segment may be larger than any MTU: network devices merge
// segments on receive (GRO) up to the largest IP packet.
type Segment struct {
	Src, Dst netip.AddrPort // unmapped; both of one address family
	Seq, Ack uint32         // Ack has a meaning only if Flags has ACK
	Flags    Flags
	Window   uint16 // as on the wire, not scaled
	Urgent   uint16 // urgent pointer; has a meaning only if Flags has URG
	TOS      uint8  // IPv4 TOS or IPv6 traffic class: DSCP and ECN bits
	Options  Options
	Payload  []byte
}

// Len returns the length in sequence space: payload bytes, and one each for
// SYN and FIN (RFC 9293, section 3.4, SEG.LEN).
func (s *Segment) Len() uint32 {
	n := uint32(len(s.Payload))
	if s.Flags.Has(SYN) {
		n++
	}
	if s.Flags.Has(FIN) {
		n++
	}
	return n
}

// End returns the sequence number that follows the segment.
func (s *Segment) End() uint32 { return s.Seq + s.Len() }
