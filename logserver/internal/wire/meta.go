package wire

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
)

// Open is what Open, Update and Create frames tell. Gen is the client's number
// for this version of the metadata; Create has a request's number there.
type Open struct {
	Gen uint32
	// Meta is the caller's: what the log fills in does not count, but for the ID.
	Meta logserver.Meta
}

// AppendOpen appends an Open, Update or Create frame.
func AppendOpen(b []byte, t Type, flags uint8, gen uint32, m *logserver.Meta) []byte {
	b, at := begin(b, t, flags)
	b = be.AppendUint32(b, gen)
	return end(record.AppendMeta(b, m), at)
}

// ParseOpen takes an Open, Update or Create frame apart.
func ParseOpen(f Frame) (o Open, err error) {
	c := newCursor(f)
	o.Gen = c.U32()
	o.Meta = c.Meta()
	if !c.Done() {
		return o, f.Malformed()
	}
	return o, nil
}

// Listed is a connection in a Metas frame.
type Listed struct {
	Meta  logserver.Meta
	State State
}

// AppendListed appends one connection to the payload of a Metas frame.
func AppendListed(b []byte, l *Listed) []byte {
	return AppendState(record.AppendMeta(b, &l.Meta), l.State)
}

// ParseMetas takes a Metas frame apart.
func ParseMetas(f Frame) (req uint32, list []Listed, err error) {
	c := newCursor(f)
	req = c.U32()
	for c.More() {
		list = append(list, Listed{Meta: c.Meta(), State: c.state()})
	}
	if !c.Done() {
		return req, nil, f.Malformed()
	}
	return req, list, nil
}
