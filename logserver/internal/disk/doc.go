// Package disk is the log on a disk of this host: what it calls stable survives
// the process, and a loss of power. It is package storelog, which knows connections, above a Store
// of its own: segments, which are files that are only
// appended to. The format package says how the files look, vfs is what is needed
// of a file system, and faultfs one that loses power.
//
// It is not for reading a log that another process has open, and not for more
// than one host: package logd makes a log server of it.
//
// # Writing
//
// How long bytes take until they are stable is part of what a client measures
// as its round-trip time, and a congestion control that goes by it (BBR) has
// about two of the least times the bandwidth on its way: so a batch takes few
// steps. It is written past the page cache where the file system can (O_DIRECT
// with RWF_DSYNC), in whole blocks: no two batches have a block in common. Where
// that is not possible it is a write and an fdatasync. The writer's thread has
// the priority of an engine's, if the process may raise it.
//
// Large pieces of data wait where the device takes them from, each behind room for its
// record's header (a Frame): they are not copied again. With a key there are no
// Frames: everything is gathered, and encrypted to where the device takes it.
//
// After a write or fdatasync that failed nothing of it in the
// old file is trusted: the file is given up from there on (what it held before
// is as good as ever), and the batch goes to the next one.
//
// Files have a fixed length. They are filled with zeros before they
// are needed: a write to where something was written before has no metadata to
// make stable, while one to what is only allocated costs the file system a
// transaction. Files in which nothing lives any more are written anew and kept
// for that, up to a quarter of QuotaTotal; what nobody has needed for a minute
// is removed. When Append finds no file that is filled, as at each start, it
// takes one that is only allocated, and leaves it soon if there is a better one.
// The last spare is a reserve: when the disk is full it takes only what sets
// space free, that is deletions and the cleaner's copies.
//
// Within a segment, a batch begins with a Batch record, and each record has its batch's number.
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
// batch is a loss, which is reported. Data that an index vouches for is checked
// when it is read: Read returns an error rather than wrong bytes.
//
// What is assumed of the device: a sector of 512 bytes is written whole or not
// at all, and what a synchronous write or fdatasync has reported stays. What is
// assumed of the file system: the same of its metadata.
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
