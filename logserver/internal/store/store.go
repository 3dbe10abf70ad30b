// Package store is the seam between a log that outlives its process and what keeps its
// records: files on a disk (package disk), or, say, a replicated stream. Package storelog makes
// a logserver.Log of any Store; storetest has one in memory that loses what is not stable.
//
// A Store knows nothing of connections, and what records say is not its business. It has no
// index: whoever appends a record keeps its Place.
//
// # Segments
//
// Records lie in segments, in the order in which they were appended. Segments have numbers that
// rise, from 1 on; records are appended to the newest. A segment is the unit in which space is
// set free, whatever its place among the others: what still counts in one is appended again,
// and then the segment is freed. Each segment begins with its owner's head (Owner.Head), so
// that what must outlive all segments before need not be a record.
//
// # Order and stability
//
// Append returns when what it has written is stable: its return is the stability upcall. One
// call is under way at a time, and nothing is written beyond a batch that is not stable; so
// after a crash the last batch may be there, in part or not at all, and all before it is there.
// (Several batches at a time were measured on a disk: they bring its device little and nearly
// double the delay. A store that wants them would have to take back what follows a failure.)
// Batches grow with the time that Append takes: a store with a long way has large ones.
//
// Load finds all records of one segment after the other, in each in the order in which they lie
// there. Of the batch that Append has not called stable it may find a beginning, in the order in
// which it was being written: the records of the Frame first, then the others. What Load has
// found is stable.
//
// # What can fail, and what must hold then
//
//   - The process ends in Append, or the power goes: what was stable is there, and of the batch
//     a beginning at most.
//   - It ends when Append has written but not returned: the batch is there, and nobody was told.
//   - It ends in Free: the segment is there with all of its records, or gone for good. When
//     Free has returned it is gone: later deletions may depend on that.
//   - It ends in Load or Void: the next Load finds the same, or the same without what is void.
//   - The device fails in Append: the error is ErrAgain's while the store has another place to
//     try; the caller appends the same batch again, at once. None of the failed batch is ever
//     found, once a later one is stable. Other errors: the caller tries again after a while.
//   - The device is full: ErrFull's. The store keeps a reserve for what may set space free:
//     batches with Reserve set. Its caller frees segments, and tries again.
//   - The device fails in Read or Scan: the error is returned, never other bytes.
//   - It fails in Free: the segment is as it was. In Settle or Prepare: it is tried again.
//   - Close while something is called: it does not happen. The log lets its calls return before
//     it closes the store, and makes none afterwards.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrFull is what the error of Append satisfies while there is no room for the batch.
	ErrFull = errors.New("no room for more records")
	// ErrWait is an ErrFull that ends when a segment is freed: Owner.CanFree has said so.
	ErrWait = fmt.Errorf("%w: some must be set free", ErrFull)
	// ErrAgain is what the error of Append satisfies if the same batch is to be
	// appended once more, at once.
	ErrAgain = errors.New("to be written elsewhere")
	// ErrDamaged is returned for a record that is not what was written.
	ErrDamaged = errors.New("record is damaged")
)

// Type tells what a record is.
type Type uint8

const (
	// Data is client data that lies at Offset.
	Data Type = 1 + iota
	// Reads are lengths of the server's reads, the first of which began at Offset.
	Reads
	// State is all about a connection but its data and reads.
	State
	// Deletion deletes a connection.
	Deletion
	// Void is a record that nobody wants.
	Void
	// Own is the first type of records that the store makes for itself.
	Own Type = 16
)

func (t Type) String() string {
	names := [...]string{Data: "data", Reads: "reads", State: "state", Deletion: "deletion", Void: "void"}
	if t > 0 && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// Copy is the flag of a record that was appended before, in a segment that is to be freed.
const Copy = 1

// Header is what a store keeps beside a record's payload. But for N it only keeps it.
type Header struct {
	Type   Type
	Flags  uint8
	N      uint32 // length of the payload, in bytes
	Conn   uint64
	Offset int64
}

// Place is where a record lies: its segment, and its position there.
type Place struct{ Segment, At uint32 }

// Record is a record to be appended.
type Record struct {
	Header
	// Payload is the N bytes, in pieces; unless the record lies in the batch's Frame.
	Payload [][]byte
	// Frame is where the record begins in the batch's Frame; 0 if it does not lie there.
	// Sum is the CRC-32C of the payload then.
	Frame int
	Sum   uint32
	// At is where Append has written it.
	At uint32
}

// Batch is what is made stable at once.
type Batch struct {
	Records []Record
	// Frame is the used part of memory from NewFrame, or nil: the records that have their place
	// there, all of them and in this order, see Layout. If Append writes some of them and not
	// all, the others come again with a Payload.
	Frame []byte
	// Time is kept with the batch, in ns since 1970.
	Time int64
	// Reserve tells that each record may set space free.
	Reserve bool
	// Segment is where Append has written it.
	Segment uint32
}

// Layout is how large things are, in bytes. It does not change.
type Layout struct {
	// Segment is how long a segment is, Overhead how much of it is not records.
	Segment, Overhead int64
	// A record in a Frame has its payload Head bytes behind its beginning, which is a multiple
	// of Align; zeros follow the payload up to the next multiple, where the next record begins. The
	// first begins at Lead. So payloads can wait where they will be written from, and are not
	// copied. Size is the same for such records. Head is 0 if the store has no Frames.
	Lead, Head, Align int
}

const (
	// RecordCost is the most that Size adds to the length of a payload.
	RecordCost = 64
	// MaxHead is the longest that an owner's head is.
	MaxHead = 3900
)

// Segment is a segment that has ended.
type Segment struct {
	ID uint32
	// Size is what freeing it will gain.
	Size int64
	// Ended is when it ended; zero if that was before Load.
	Ended time.Time
	// MayFree tells that Free may be called.
	MayFree bool
}

// Found is a record that was found. It, and Payload, are good until the function that got it
// returns.
type Found struct {
	Place
	Header
	// Time is the batch's.
	Time int64
	// Payload is nil for data that Load finds.
	Payload []byte
	// Damaged tells that the payload cannot be read, or makes no sense. Whether it is damaged
	// is not known of data that Load finds without reading it.
	Damaged bool
}

// Loaded is what Load says of all that it has found.
type Loaded struct {
	// Segments is how many there were, Newest the last of them.
	Segments int
	Newest   uint32
	// Lost is how many places were found that must have held records which had been stable, and
	// cannot be read at all. Torn is how many bytes were dropped that had never been stable.
	Lost, Torn int64
}

// Owner is whom a store asks.
type Owner interface {
	// Head appends to b what each segment begins with, and returns it: at most MaxHead bytes
	// more. Append asks for it when it writes the first batch of a segment.
	Head(b []byte) []byte
	// CanFree reports whether segments can be freed, now or when something is appended again.
	// Append and Prepare ask it before they take more room than the store is to have.
	CanFree() bool
}

// Visitor is told by Load what there is.
type Visitor interface {
	// Segment begins a segment, the oldest first, with the head that it has.
	Segment(id uint32, head []byte)
	// Record is a record of that segment.
	Record(f *Found)
}

// Store keeps records; see the package's comment for order, stability and failures. Load is
// called first, once. One goroutine calls Append, another one Scan, Free, Settle and Prepare. All
// others may be called from any goroutine at
// any time. Size, Layout, NewFrame, Name, Segments, Full and Low never wait, nor do they ask the owner: they
// may be called with locks held. The owner is asked with no lock held that these take.
type Store interface {
	// Load finds all records. Of those of type Data it may leave the payload unread.
	Load(o Owner, v Visitor) (Loaded, error)

	// Append appends the first n of the batch's records and makes them stable: as many as go into one
	// segment, and at least one if there are any. Without
	// records it makes the segment's head stable at least. It waits for the device.
	// The batch and what it refers to are the store's until Append returns, then the
	// caller's: the store keeps none of it. It may change the memory of Frame where no payload
	// lies.
	Append(b *Batch) (n int, err error)

	// NewFrame returns n bytes for a Frame, which are zero.
	NewFrame(n int) []byte

	// Read returns the payload of a record, of which the place and what else was given to Append
	// are known. It lies in buf, which has a length of Size(h.N). ErrDamaged's if it is not
	// what was written.
	Read(p Place, h Header, buf []byte) (payload []byte, err error)

	// Scan finds the records of an ended segment, payloads included, until f returns an error. f
	// may wait.
	Scan(segment uint32, f func(*Found) error) error

	// Void makes records void for good, in the places where Load has found them. It is called
	// between Load and the first Append.
	Void(list []Place) error

	// Segments appends all segments that have ended, in order, to list.
	Segments(list []Segment) []Segment

	// Free gives the space of an ended segment back, for which MayFree is set. Nobody reads it.
	Free(segment uint32) error

	// Settle is called before segments are looked for that can be freed, Prepare after that, each
	// time that something may have changed, and once a second. Settle makes MayFree true where it can.
	// Prepare makes room for what is to come, until ctx is done: more tells that there is more
	// than before.
	Settle()
	Prepare(ctx context.Context) (more bool, err error)

	// Size returns how many bytes a record with n bytes of payload takes.
	Size(n int) int
	Layout() Layout

	// Name is what an operator knows a segment by.
	Name(segment uint32) string

	// Full reports whether the store has all the room that it can have. Low reports whether it
	// will soon not be able to have what it may.
	Full() bool
	Low() bool

	// Close ends it. All that is stable stays. Nothing else is called meanwhile or afterwards.
	Close() error
}
