// Package disk is the log on a disk of this host: what it calls stable survives
// the process, and a loss of power. It is an own segmented log that is only
// appended to; the format package says how its files look, vfs is what it needs
// of a file system, and faultfs one that loses power.
//
// It is not for reading a log that another process has open, and not for more
// than one host: package logd makes a log server of it.
//
// # Writing
//
// Calls copy what they are given into memory and return. One goroutine, the
// writer, takes all that has gathered, up to a MiB or so, makes it stable with
// one write, takes it into the index, and makes one upcall for all of it.
// Meanwhile the next batch gathers: nobody waits for more than the batch that is
// under way and its own, and batches grow with the load by themselves. No timer
// is involved, but for what nobody gets an upcall for (reads, deletions,
// discards), which waits some milliseconds for company. Upcalls are made between
// two batches: what they call should be short.
//
// How long bytes take until they are stable is part of what a client measures
// as its round-trip time, and a congestion control that goes by it (BBR) has
// about two of the least times the bandwidth on its way: so a batch takes few
// steps. It is written past the page cache where the file system can (O_DIRECT
// with RWF_DSYNC), in whole blocks: no two batches have a block in common. Where
// that is not possible it is a write and an fdatasync. The writer's thread has
// the priority of an engine's, if the process may raise it.
//
// Small writes are gathered by connection. Large ones wait in the very memory
// that the device takes, each behind room for its record's header (a "body"):
// they are copied once and summed up, and what was received in a loan (Lend) is
// only summed up. With a key everything is gathered, and encrypted to where the
// device takes it.
//
// A batch may be written a second time, elsewhere, since its bytes stay in memory
// until it is stable. After a write or fdatasync that failed nothing of it in the
// old file is trusted: the file is given up from there on (what it held before
// is as good as ever), and the batch goes to the next one.
//
// Files ("segments") have a fixed length. They are filled with zeros before they
// are needed: a write to where something was written before has no metadata to
// make stable, while one to what is only allocated costs the file system a
// transaction. Files in which nothing lives any more are written anew and kept
// for that, up to a quarter of QuotaTotal; what nobody has needed for a minute
// is removed. When the writer finds no file that is filled, as at each start, it
// takes one that is only allocated, and leaves it soon if there is a better one.
// The last spare is a reserve: when the disk is full it takes only what sets
// space free, that is deletions and the cleaner's copies.
//
// # Records
//
// Records are independent of each other's place. Data and Reads say which
// offsets of a connection's stream they are for; a State says all else about a
// connection, and the last one counts; a Tomb deletes a connection, whatever
// else there is of it. So a record can be copied to the head of the log and its
// segment forgotten. Within a segment, a batch begins with a Batch record, and
// each record has its batch's number.
//
// In memory there is, for each connection, a list of its data records (24 bytes
// each; the data that one batch brings for a connection is one record, up to 64
// KiB) and what Meta tells: some 500 bytes in all for an idle connection.
//
// # Space
//
// For each segment the bytes of records that live are counted. They die when
// what makes them void is stable: a Tomb, or a State with a higher start or in
// the place of the one before. A segment where nothing lives is removed or
// written anew; its Tombs are copied first if older segments might hold records
// of the same connections. A segment of which less than a quarter lives is
// cleaned after a while: what lives is copied to the head. When QuotaTotal
// allows no more files, or the disk has no room for more, the emptiest segment is
// cleaned, whatever it holds;
// data waits for that. Since at most three quarters of QuotaTotal may live, less
// headers and ends of batches (a live byte counts as four thirds in Usage, or a
// little more where files are small), no more than about four bytes are
// copied for each byte that is gained at the very worst, and none as long as
// connections end in about the order in which they began.
//
// # Opening
//
// A segment that was ended has an index of its records, from which it is read
// without its data. The last segment of a process that died has none, and is
// read from front to back, checksums included. A batch is begun only when the
// one before is stable. Hence damage in the last batch is taken for a torn write,
// of which no upcall told: what stands before it is used and the rest is cut off
// (Counters.Torn). Should a device damage the very last batch of a process that
// died after it was stable, that cannot be told from it. Damage before the last
// batch is a loss. It is reported (Config.Warn, Counters);
// everything else is used: other connections, and of the damaged one the data
// up to the damage. Records beyond it are made void for good, so that they can
// never appear behind other bytes. Data that an index vouches for is checked
// when it is read: Read returns an error rather than wrong bytes.
//
// What was taken but not stable may be there after a crash or not, a connection's
// data always from its beginning on. A connection that was deleted can come
// back if the deletion was not stable, with what was stable of it; once Close
// has returned, or a connection that was opened after it is stable, it does not.
//
// Numbers: each start of the log draws them from a block of its own, which is
// on the disk before the first of them is given out.
//
// What is assumed of the device: a sector of 512 bytes is written whole or not
// at all, and what a synchronous write or fdatasync has reported stays. What is
// assumed of the file system: the same of its metadata.
//
// # Errors
//
// While nothing can be written the status has LowSpace, if that is for want of
// space, or Failed; what is taken stays in memory, up to Config.Buffer, and is
// written when that is possible again: it is tried once a second.
//
// # Privacy
//
// The directory is made for its owner alone (0700), and so are the files (0600).
// With Config.Key all but numbers, offsets and lengths is encrypted (AES-256-GCM)
// with a key for each segment, which comes from the master key and a random salt
// in the segment's header; with a wrong key the log does not open.
//
// Forgetting: a file that is not needed is removed, or its header is replaced
// by the next segment's and the rest overwritten as that one fills. Nothing is
// wiped on the medium: flash devices keep old copies whatever one writes, file
// systems may too. Without encryption, deleted bytes can be found in spares,
// in the not yet cleaned parts of segments, and on the medium for an unknown
// time. With encryption the same holds for the encrypted bytes, and old salts
// can be found as long as those; to make all of it unreadable for certain,
// destroy the master key.
package disk
