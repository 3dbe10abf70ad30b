package wire

import (
	"github.com/ftnet/ftnet/logserver"
)

// Request is a frame that is answered. Which fields count depends on its type.
type Request struct {
	Type Type
	// Req is the client's number for it, which the answer carries.
	Req uint32
	// ID is the connection: Read, GetReads, GetMeta.
	ID logserver.ConnID
	// First and N are an offset and a number of bytes (Read), or an index and
	// a number of connections (Active).
	First, N int64
	// Before is the time before which Expire takes connections, Unix ns.
	Before int64
}

// AppendRequest appends the frame.
func AppendRequest(b []byte, r Request) []byte {
	b, at := begin(b, r.Type, 0)
	b = be.AppendUint32(b, r.Req)
	switch r.Type {
	case TypeRead:
		b = be.AppendUint64(b, uint64(r.ID))
		b = be.AppendUint64(b, uint64(r.First))
		b = be.AppendUint64(b, uint64(r.N))
	case TypeGetReads, TypeGetMeta:
		b = be.AppendUint64(b, uint64(r.ID))
	case TypeActive:
		b = be.AppendUint64(b, uint64(r.First))
		b = be.AppendUint64(b, uint64(r.N))
	case TypeExpire:
		b = be.AppendUint64(b, uint64(r.Before))
	}
	return end(b, at)
}

// ParseRequest takes any request apart but for Create, which is an Open.
func ParseRequest(f Frame) (r Request, err error) {
	c := newCursor(f)
	r.Type, r.Req = f.Type, c.U32()
	switch f.Type {
	case TypeRead:
		r.ID, r.First, r.N = c.id(), c.Offset(), c.Offset()
	case TypeGetReads, TypeGetMeta:
		r.ID = c.id()
	case TypeActive:
		r.First, r.N = c.Offset(), c.Offset()
	case TypeExpire:
		r.Before = int64(c.U64())
	case TypeSync, TypeGetBlock:
	default:
		return r, f.Malformed()
	}
	if !c.Done() {
		return r, f.Malformed()
	}
	return r, nil
}
