package wire

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
)

// AppendDataHeader appends all of a Data frame but the n bytes of data.
func AppendDataHeader(b []byte, flags uint8, id logserver.ConnID, off int64, n int) []byte {
	b = AppendHeader(b, TypeData, flags, DataPrefix+n)
	b = be.AppendUint64(b, uint64(id))
	return be.AppendUint64(b, uint64(off))
}

// ParseData takes a Data frame apart.
func ParseData(f Frame) (id logserver.ConnID, off int64, p []byte, err error) {
	c := newCursor(f)
	id, off = c.id(), c.Offset()
	p = c.Rest()
	if c.Bad() || len(p) == 0 || off+int64(len(p)) < 0 {
		return 0, 0, nil, f.Malformed()
	}
	return id, off, p, nil
}

// MaxRuns is how many runs a Reads or Runs frame holds at most.
const MaxRuns = 4096

// MaxReads is how many reads the runs of a Reads frame are at most.
const MaxReads = 1 << 16

// Reads is what a Reads frame tells: runs of reads of which the first begins
// at At.
type Reads struct {
	ID   logserver.ConnID
	At   int64
	Runs []logserver.ReadRun
}

// AppendReads appends the frame.
func AppendReads(b []byte, flags uint8, r Reads) []byte {
	b, at := begin(b, TypeReads, flags)
	b = be.AppendUint64(b, uint64(r.ID))
	b = be.AppendUint64(b, uint64(r.At))
	return end(record.AppendRuns(b, r.Runs), at)
}

// ParseReads takes the frame apart.
func ParseReads(f Frame) (r Reads, err error) {
	c := newCursor(f)
	r.ID, r.At = c.id(), c.Offset()
	r.Runs = c.Runs(MaxRuns)
	if !c.Done() || len(r.Runs) == 0 {
		return r, f.Malformed()
	}
	return r, nil
}

// AppendRebase appends a Rebase frame. The base must be valid.
func AppendRebase(b []byte, id logserver.ConnID, base *logserver.Base) []byte {
	b = AppendHeader(b, TypeRebase, 0, 24+len(base.State))
	b = be.AppendUint64(b, uint64(id))
	b = be.AppendUint64(b, uint64(base.In))
	b = be.AppendUint64(b, uint64(base.Out))
	return append(b, base.State...)
}

// ParseRebase takes it apart. The state is part of the frame's payload.
func ParseRebase(f Frame) (id logserver.ConnID, base logserver.Base, err error) {
	c := newCursor(f)
	id, base.In, base.Out = c.id(), c.Offset(), c.Offset()
	base.State = c.Rest()
	if c.Bad() || base.Validate() != nil {
		return 0, logserver.Base{}, f.Malformed()
	}
	return id, base, nil
}

// AppendFinish appends a Finish frame.
func AppendFinish(b []byte, id logserver.ConnID, off int64) []byte {
	b = AppendHeader(b, TypeFinish, 0, 16)
	b = be.AppendUint64(b, uint64(id))
	return be.AppendUint64(b, uint64(off))
}

// ParseFinish takes it apart.
func ParseFinish(f Frame) (id logserver.ConnID, off int64, err error) {
	c := newCursor(f)
	if id, off = c.id(), c.Offset(); !c.Done() {
		return 0, 0, f.Malformed()
	}
	return id, off, nil
}

// AppendDelete appends a Delete frame.
func AppendDelete(b []byte, id logserver.ConnID) []byte {
	return be.AppendUint64(AppendHeader(b, TypeDelete, 0, 8), uint64(id))
}

// ParseDelete takes it apart.
func ParseDelete(f Frame) (logserver.ConnID, error) {
	c := newCursor(f)
	id := c.id()
	if !c.Done() {
		return 0, f.Malformed()
	}
	return id, nil
}

// AppendRegister appends a Register frame.
func AppendRegister(b []byte, port uint16) []byte {
	return be.AppendUint16(AppendHeader(b, TypeRegister, 0, 2), port)
}

// ParseRegister takes it apart.
func ParseRegister(f Frame) (port uint16, err error) {
	c := newCursor(f)
	if port = c.U16(); !c.Done() {
		return 0, f.Malformed()
	}
	return port, nil
}
