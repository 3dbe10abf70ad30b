// Package storelog makes a logserver.Log of a store.Store: a log that outlives its process. The
// log on a disk is one. It knows connections, what they are charged for, what is stable of
// them and which records say so; where records lie, and how they are made stable, the store
// knows.
//
// # Writing
//
// Calls copy what they are given into memory and return. One goroutine, the
// writer, takes all that has gathered, up to a MiB or so, has the store make it stable with
// one Append, takes it into the index, and makes one upcall for all of it.
// Meanwhile the next batch gathers: nobody waits for more than the batch that is
// under way and its own, and batches grow with the load by themselves. No timer
// is involved, but for what nobody gets an upcall for (reads, deletions,
// discards), which waits some milliseconds for company. Upcalls are made between
// two batches: what they call should be short.
//
// Small writes are gathered by connection. Large ones wait in the very memory
// that the store writes (a "body": a Frame of the store); they
// are copied once and summed up, and what was received in a loan (Lend) is
// only summed up. Where the store has no Frames everything is gathered.
//
// A batch may be appended a second time, since its bytes stay in memory until it is stable.
//
// # Records
//
// Records are independent of each other's place. Data and Reads say which
// offsets of a connection's stream they are for; a State says all else about a
// connection, and the last one counts; a Deletion deletes a connection, whatever
// else there is of it. So a record can be copied to the newest segment and its own
// forgotten. What they hold:
//
//	Data      Offset in the client's stream; the bytes
//	Reads     Offset where the first read began; runs of lengths (package record)
//	State     Offset 0; metadata (package record) · varint: in which order it was opened ·
//	          signed varints: start of the data, start of the reads, the FIN or -1
//	Deletion  Offset is the segment of the connection's first record and, times 2^32, the one in which
//	          it was deleted; 0 if that is the deletion's own. Nothing else
//
// In memory there is, for each connection, a list of its data records (24 bytes
// each; the data that one batch brings for a connection is one record, up to 64
// KiB) and what Meta tells: some 500 bytes in all for an idle connection.
//
// # Space
//
// For each segment the bytes of records that live are counted. They die when
// what makes them void is stable: a Deletion, or a State with a higher start or in
// the place of the one before. A segment where nothing lives is freed;
// its Deletions are copied first if older segments might hold records
// of the same connections. A segment of which less than a quarter lives is
// cleaned after a while: what lives is copied. When the store can
// have no more room, the emptiest segment is
// cleaned, whatever it holds; data waits for that. Since at most three quarters of QuotaTotal may live, less
// what segments have besides records (a live byte counts as four thirds in Usage, or a
// little more where segments are small), no more than about four bytes are
// copied for each byte that is gained at the very worst, and none as long as
// connections end in about the order in which they began.
//
// # Opening
//
// All but data is read. Records of a connection beyond a gap that damage has made are made void for
// good, so that they can never appear behind other bytes; the data before it is used, and so
// are other connections. Damage is reported (Config.Warn, Counters).
//
// What was taken but not stable may be there after a crash or not, a connection's
// data always from its beginning on. A connection that was deleted can come
// back if the deletion was not stable, with what was stable of it; once Close
// has returned, or a connection that was opened after it is stable, it does not.
//
// Numbers: each start of the log draws them from a block of its own, which is
// in the store before the first of them is given out.
//
// # Errors
//
// While nothing can be written the status has LowSpace, if that is for want of
// space, or Failed; what is taken stays in memory, up to Config.Buffer, and is
// written when that is possible again: it is tried once a second.
package storelog
