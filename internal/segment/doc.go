// Package segment is the codec between IP packets and TCP segments: it decodes
// what the tap and the gate deliver, and encodes what the injector sends. The
// layers of gopacket do the work on both sides and are not visible outside.
//
// It is not a TCP implementation: it knows what a segment says, not whether a
// connection should believe it. Sequence arithmetic is in internal/seqnum.
package segment
