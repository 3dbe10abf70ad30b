package wire

import (
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// MaxService is the longest name of a service, in bytes.
const MaxService = 255

// Open is what Open, Update and Create frames tell. Gen is the client's number
// for this version of the metadata; Create has a request's number there.
type Open struct {
	Gen uint32
	// Meta is without what the log fills in but for the ID.
	Meta logserver.Meta
}

// AppendOpen appends an Open, Update or Create frame.
func AppendOpen(b []byte, t Type, flags uint8, gen uint32, m *logserver.Meta) []byte {
	b, at := begin(b, t, flags)
	b = be.AppendUint32(b, gen)
	return end(appendMeta(b, m), at)
}

// ParseOpen takes an Open, Update or Create frame apart.
func ParseOpen(f Frame) (o Open, err error) {
	c := cursor{p: f.Payload}
	o.Gen = c.u32()
	o.Meta = c.meta()
	if !c.ok() {
		return o, f.Malformed()
	}
	return o, nil
}

func appendMeta(b []byte, m *logserver.Meta) []byte {
	b = be.AppendUint64(b, uint64(m.ID))
	b = be.AppendUint64(b, m.Tag)
	b = appendText(b, m.Service)
	b = appendEndpoint(b, m.Client)
	b = appendEndpoint(b, m.Server)
	b = be.AppendUint32(b, m.IRS)
	b = be.AppendUint32(b, m.ISS)
	b = be.AppendUint16(b, m.SYNFlags)
	b = be.AppendUint64(b, uint64(m.RTT))
	b = append(append(b, byte(len(m.SYNOptions))), m.SYNOptions...)
	b = append(append(b, byte(len(m.SYNACKOptions))), m.SYNACKOptions...)
	o := &m.Output
	for _, off := range []int64{o.Acked, o.In, o.Out, o.End} {
		b = be.AppendUint64(b, uint64(off))
	}
	return append(b, flag(o.Closed))
}

func (c *cursor) meta() (m logserver.Meta) {
	m.ID = c.id()
	m.Tag = c.u64()
	m.Service = c.text()
	m.Client = c.endpoint()
	m.Server = c.endpoint()
	m.IRS, m.ISS = c.u32(), c.u32()
	m.SYNFlags = c.u16()
	m.RTT = time.Duration(c.u64())
	m.SYNOptions = c.options()
	m.SYNACKOptions = c.options()
	o := &m.Output
	for _, off := range []*int64{&o.Acked, &o.In, &o.Out, &o.End} {
		*off = int64(c.u64())
	}
	o.Closed = c.flag()
	return m
}

// Listed is a connection in a Metas frame.
type Listed struct {
	Meta  logserver.Meta
	State State
}

// AppendListed appends one connection to the payload of a Metas frame.
func AppendListed(b []byte, l *Listed) []byte {
	b = appendMeta(b, &l.Meta)
	b = append(b, flag(l.Meta.Finished))
	b = be.AppendUint64(b, uint64(l.Meta.Created.UnixNano()))
	b = be.AppendUint64(b, uint64(l.Meta.Modified.UnixNano()))
	return AppendState(b, l.State)
}

// ParseMetas takes a Metas frame apart.
func ParseMetas(f Frame) (req uint32, list []Listed, err error) {
	c := cursor{p: f.Payload}
	req = c.u32()
	for !c.bad && len(c.p) > 0 {
		var l Listed
		l.Meta = c.meta()
		l.Meta.Finished = c.flag()
		l.Meta.Created = time.Unix(0, int64(c.u64()))
		l.Meta.Modified = time.Unix(0, int64(c.u64()))
		l.State = c.state()
		list = append(list, l)
	}
	if !c.ok() {
		return req, nil, f.Malformed()
	}
	return req, list, nil
}
