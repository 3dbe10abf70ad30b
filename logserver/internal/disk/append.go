package disk

import (
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// writer is what Append alone uses.
type writer struct {
	head   *segment
	index  format.Indexer // of head
	batch  uint32         // the latest in head
	fresh  bool           // head's header is not written yet
	header format.SegmentHeader
	prev   *segment // the one before head
	// reserve tells that head is the last spare: only what may set space free
	// goes there.
	reserve bool
	lead    []byte // memory for a segment's header
	bufs    [][]byte
	out     output
}

// Append implements store.Store.
func (f *files) Append(b *store.Batch) (int, error) {
	n, err := f.append(b)
	if f.opening {
		f.opening = false
		err = explain(f.dir, err)
	}
	return n, err
}

func (f *files) append(b *store.Batch) (int, error) {
	w := &f.writer
	f.leaveUnfilled()
	if w.reserve && !b.Reserve {
		if err := f.leaveReserve(); err != nil {
			return 0, f.failed(err, false)
		}
	}
	for {
		if w.head != nil {
			n, err := f.write(b)
			if err != nil {
				f.abandon()
				return 0, f.failed(err, true)
			}
			if n > 0 || len(b.Records) == 0 {
				if !b.Reserve {
					f.noDisk.Store(false)
				}
				return n, nil
			}
		}
		if err := f.roll(b.Reserve); err != nil {
			return 0, f.failed(err, false)
		}
	}
}

// write writes as many records as fit into head, and makes them stable. It returns how many
// they are.
func (f *files) write(b *store.Batch) (int, error) {
	w, s := &f.writer, f.writer.head
	n, length := w.fitting(b.Records)
	if n == 0 && len(b.Records) > 0 {
		return 0, nil
	}
	recs := b.Records[:n]
	// A frame is written as it lies if all of it is.
	frame := b.Frame
	if !framed(recs) || framed(b.Records[n:]) {
		frame = nil
	}
	h := format.Header{Type: format.Batch, Batch: w.batch + 1, Pos: uint32(s.end), Conn: uint64(length), Offset: b.Time}
	w.index.Add(h)
	pos, at := s.end, s.end
	w.bufs = w.bufs[:0]
	if w.fresh {
		pos = 0
		w.bufs = append(w.bufs, w.leading(f.fillHeader()))
	}
	w.out.reset(length + format.BatchAlign)
	if frame == nil {
		s.codec.Put(w.out.grab(s.codec.Size(0)), h)
		at += int64(s.codec.Size(0))
	} else {
		s.codec.PutSummed(frame, h, 0)
		w.fillIn(frame, recs)
		// The frame's last block goes on with what follows.
		whole := len(frame) &^ (format.BatchAlign - 1)
		w.bufs = append(w.bufs, frame[:whole])
		copy(w.out.grab(len(frame)-whole), frame[whole:])
		at += int64(len(frame))
	}
	for k := range recs {
		r := &recs[k]
		if r.Frame > 0 && frame != nil {
			continue
		}
		r.At = uint32(at)
		h := w.headerOf(r)
		if r.Frame > 0 {
			s.codec.Put(w.out.grab(s.codec.Size(int(r.N))), h, b.Frame[r.Frame+format.HeaderSize:][:r.N])
		} else {
			s.codec.Put(w.out.grab(s.codec.Size(int(r.N))), h, r.Payload...)
		}
		w.index.Add(h)
		at += int64(s.codec.Size(int(r.N)))
	}
	if end := w.out.pad(); len(end) > 0 {
		w.bufs = append(w.bufs, end)
	}
	if err := s.file.WriteStable(w.bufs, pos); err != nil {
		return 0, err
	}
	s.end, w.fresh = blockEnd(at), false
	w.batch++
	b.Segment = s.id
	return n, nil
}

// framed reports whether one of the records lies in a frame.
func framed(recs []store.Record) bool {
	for i := range recs {
		if recs[i].Frame > 0 {
			return true
		}
	}
	return false
}

// headerOf is a record's header in the next batch of head.
func (w *writer) headerOf(r *store.Record) format.Header {
	return format.Header{Type: r.Type, Flags: r.Flags, N: r.N, Batch: w.batch + 1, Pos: r.At, Conn: r.Conn, Offset: r.Offset}
}

// leading returns a segment's header in memory that can be written.
func (w *writer) leading(h *format.SegmentHeader) []byte {
	if w.lead == nil {
		w.lead = vfs.AlignedBytes(format.Begin)
	}
	copy(w.lead, h.Append(nil))
	return w.lead
}

// fillIn completes the records in a frame.
func (w *writer) fillIn(frame []byte, recs []store.Record) {
	for k := range recs {
		r := &recs[k]
		if r.Frame == 0 {
			continue
		}
		r.At = uint32(w.head.end) + uint32(r.Frame)
		h := w.headerOf(r)
		w.head.codec.PutSummed(frame[r.Frame:], h, r.Sum)
		w.index.Add(h)
	}
}

// fitting returns how many records fit into head as one batch, and how long they are. Behind
// them there must be room for the index and the trailer.
func (w *writer) fitting(recs []store.Record) (n, length int) {
	s := w.head
	index := len(w.index.Bytes()) + 2*format.MaxEntry
	length = s.codec.Size(0)
	for n = range recs {
		more := length + s.codec.Size(int(recs[n].N))
		index += format.MaxEntry
		if blockEnd(s.end+int64(more))+int64(s.codec.Size(index)+format.HeaderSize) > s.size {
			return n, length
		}
		length = more
	}
	return len(recs), length
}

// output composes what one write is to write, in memory that a device may take
// it from.
type output struct {
	mem  []byte
	used int
}

// reset empties it, and makes room for n bytes.
func (o *output) reset(n int) {
	o.used = 0
	if n = int(blockEnd(int64(n))); n > len(o.mem) {
		o.mem = vfs.AlignedBytes(n)
	}
}

// grab returns n bytes that are to be written next.
func (o *output) grab(n int) []byte {
	b := o.mem[o.used : o.used+n : o.used+n]
	o.used += n
	return b
}

// pad fills the last block with zeros, and returns what is to be written.
func (o *output) pad() []byte {
	clear(o.grab(int(blockEnd(int64(o.used))) - o.used))
	return o.mem[:o.used]
}
