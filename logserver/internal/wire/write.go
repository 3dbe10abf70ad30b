package wire

import (
	"github.com/ftnet/ftnet/logserver"
)

// AppendDataHeader appends all of a Data frame but the n bytes of data.
func AppendDataHeader(b []byte, flags uint8, id logserver.ConnID, off int64, n int) []byte {
	b = AppendHeader(b, TypeData, flags, DataPrefix+n)
	b = be.AppendUint64(b, uint64(id))
	return be.AppendUint64(b, uint64(off))
}

// ParseData takes a Data frame apart.
func ParseData(f Frame) (id logserver.ConnID, off int64, p []byte, err error) {
	c := cursor{p: f.Payload}
	id, off = c.id(), c.offset()
	p = c.p
	if c.bad || len(p) == 0 || off+int64(len(p)) < 0 {
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
	return end(appendRuns(b, r.Runs), at)
}

// ParseReads takes the frame apart.
func ParseReads(f Frame) (r Reads, err error) {
	c := cursor{p: f.Payload}
	r.ID, r.At = c.id(), c.offset()
	r.Runs = c.runs()
	if !c.ok() || len(r.Runs) == 0 {
		return r, f.Malformed()
	}
	return r, nil
}

func appendRuns(b []byte, runs []logserver.ReadRun) []byte {
	for _, r := range runs {
		b = be.AppendUint32(b, r.Length)
		b = be.AppendUint32(b, r.Count)
	}
	return b
}

// runs takes all that is left.
func (c *cursor) runs() []logserver.ReadRun {
	if c.bad || len(c.p)%8 != 0 || len(c.p) > 8*MaxRuns {
		c.bad = true
		return nil
	}
	runs := make([]logserver.ReadRun, 0, len(c.p)/8)
	for len(c.p) > 0 {
		r := logserver.ReadRun{Length: c.u32(), Count: c.u32()}
		c.bad = c.bad || r.Length == 0 || r.Count == 0
		runs = append(runs, r)
	}
	return runs
}

// AppendAt appends a Finish or Discard frame.
func AppendAt(b []byte, t Type, id logserver.ConnID, off int64) []byte {
	b = AppendHeader(b, t, 0, 16)
	b = be.AppendUint64(b, uint64(id))
	return be.AppendUint64(b, uint64(off))
}

// ParseAt takes a Finish or Discard frame apart.
func ParseAt(f Frame) (id logserver.ConnID, off int64, err error) {
	c := cursor{p: f.Payload}
	if id, off = c.id(), c.offset(); !c.ok() {
		return 0, 0, f.Malformed()
	}
	return id, off, nil
}

// AppendID appends a Touch or Delete frame.
func AppendID(b []byte, t Type, id logserver.ConnID) []byte {
	return be.AppendUint64(AppendHeader(b, t, 0, 8), uint64(id))
}

// ParseID takes a Touch or Delete frame apart.
func ParseID(f Frame) (logserver.ConnID, error) {
	c := cursor{p: f.Payload}
	id := c.id()
	if !c.ok() {
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
	c := cursor{p: f.Payload}
	if port = c.u16(); !c.ok() {
		return 0, f.Malformed()
	}
	return port, nil
}
