// Package format is how the disk log's files are written, byte by byte: a
// segment's header, its records, and the index that ends it. All numbers are
// little-endian, but for those in an index, which are the record package's.
//
// It is not for what records and heads say: that is the work of whoever
// appends them, see package storelog. Nothing here touches a file.
//
// # Segment
//
// A segment is a file. It begins with two equal pages of 4096 bytes, the
// header; either will do. Batches of records follow. A batch begins at a
// multiple of 4096 bytes, with a record of type Batch, and ends with zeros up to
// the next multiple, so that it can be written past the page cache: no two
// batches have a block in common. Its records stand at multiples of 8 bytes,
// without room between them. A segment that was ended in an orderly way ends
// with a record of type Index, which lists all others, and with a record of
// type Trailer in its last 40 bytes, which says where the Index is.
//
//	header page      0   8  "FTNETLOG"
//	                 8   4  version (4)
//	                12   4  flags: 1 = encrypted
//	                16   8  number of the segment: its place in the log
//	                24   8  length of the file when it was made
//	                32  32  salt, random
//	                64  16  key check: tells a wrong key; 0 unless encrypted
//	                80   8  number of the segment before
//	                88   8  how much of that one was stable when this began
//	                96   4  n
//	               100   n  head: what the store's owner begins each segment with
//	              4092   4  CRC-32C of the 4092 bytes above
//
// # Record
//
//	 0   4  CRC-32C of the 36 bytes below, begun with the salt's
//	 4   4  CRC-32C of the payload; 0 if encrypted
//	 8   1  type
//	 9   1  flags
//	10   2  0
//	12   4  n: length of the payload
//	16   4  number of the batch within the segment
//	20   4  position of the record in the file
//	24   8  connection
//	32   8  offset, or what the type makes of it
//	40   n  payload, then 16 bytes of tag if encrypted,
//	        then zeros up to a multiple of 8
//
// The salt makes what an earlier use of the file has left there invalid, and
// the position what lies in the wrong place. That the header has a checksum of
// its own lets a reader go past a damaged payload and say what it was.
//
// # Encryption
//
// The payloads of an encrypted segment are sealed with AES-256-GCM. The key is
// HKDF-SHA-256 of the master key, salted with the segment's salt; the nonce is
// the record's position, which is used once: a log never writes twice in one
// place of a segment. Bytes 8 to 40 of the record's header are authenticated.
// They are not secret: numbers of connections, offsets and lengths can be read
// without the key, but no address, no time of a connection and no byte of a
// client.
package format
