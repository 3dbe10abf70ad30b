// Package record writes what a log keeps of a connection besides its data, and reads it:
// metadata and the lengths of reads. The log on a disk and the protocol of the log server
// carry the same bytes. It is not for how they are framed, ordered and checked: that is said
// where they stand (packages format and wire).
//
// Numbers are unsigned and have their most significant byte first, or are varints: seven bits
// a byte, the lowest first, as short as possible; a signed one is zigzag.
//
//	text      1 length, then as many bytes
//	endpoint  1 family: 0 no address, 4, 6; then 0, 4 or 16 bytes of address;
//	          for family 6 the zone, a text; then 2 port. IPv4 is written as family 4
//	meta      8 connection · 8 tag · text service · endpoint of the client · endpoint of the
//	          server · 1 length of the handshake, then as many bytes · 1 flags (1 the client's
//	          FIN is there, 2 the server's is) · signed varints: created, modified (ns since
//	          1970, 0 for none), and the output's acked and end, the
//	          base's in and out (not negative) · varint length of the base's state (at most
//	          32768), then as many bytes
//	run       varints: length of a read, count of such reads. Both fit into 4 bytes, neither is 0
package record
