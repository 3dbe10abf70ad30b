package wire

import (
	"net/netip"

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
	// Endpoint is looked up.
	Endpoint netip.AddrPort
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
	case TypeLookup:
		b = appendEndpoint(b, r.Endpoint)
	case TypeExpire:
		b = be.AppendUint64(b, uint64(r.Before))
	}
	return end(b, at)
}

// ParseRequest takes any request apart but for Create, which is an Open.
func ParseRequest(f Frame) (r Request, err error) {
	c := cursor{p: f.Payload}
	r.Type, r.Req = f.Type, c.u32()
	switch f.Type {
	case TypeRead:
		r.ID, r.First, r.N = c.id(), c.offset(), c.offset()
	case TypeGetReads, TypeGetMeta:
		r.ID = c.id()
	case TypeActive:
		r.First, r.N = c.offset(), c.offset()
	case TypeLookup:
		r.Endpoint = c.endpoint()
	case TypeExpire:
		r.Before = int64(c.u64())
	case TypeSync, TypeGetBlock:
	default:
		return r, f.Malformed()
	}
	if !c.ok() {
		return r, f.Malformed()
	}
	return r, nil
}
