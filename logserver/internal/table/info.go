package table

import (
	"net/netip"
	"slices"
	"time"
	"unique"

	"github.com/ftnet/ftnet/logserver"
)

// Info is a connection's metadata in little room: there may be a million idle ones.
type Info struct {
	Tag    uint64
	client netip.AddrPort
	// shared holds what a service's connections have in common.
	shared    unique.Handle[shared]
	handshake string
	output    *logserver.Output // nil if it says nothing
	base      *base             // nil while the connection's base has nothing but its In
	// Created and Modified are Unix time in ns.
	Created, Modified int64
}

// base is what a connection's base is besides In, which the log has at hand where it reads.
type base struct {
	out   int64
	state []byte
}

type shared struct {
	service string
	server  netip.AddrPort
}

// Set takes what m says but for what the log fills in. It copies m.
func (i *Info) Set(m *logserver.Meta) {
	i.Tag = m.Tag
	i.client = m.Client
	i.shared = unique.Make(shared{m.Service, m.Server})
	if i.handshake != string(m.Handshake) {
		i.handshake = string(m.Handshake)
	}
	switch {
	case m.Output == logserver.Output{}:
		i.output = nil
	case i.output == nil:
		i.output = new(m.Output)
	default:
		*i.output = m.Output
	}
}

// Base returns the connection's base, of which the log has In. Its State must not be changed.
func (i *Info) Base(in int64) logserver.Base {
	if i.base == nil {
		return logserver.Base{In: in}
	}
	return logserver.Base{In: in, Out: i.base.out, State: i.base.state}
}

// Rebase takes a base but for its In. It copies b.
func (i *Info) Rebase(b *logserver.Base) {
	i.base = nil
	if b.Out > 0 || len(b.State) > 0 {
		i.base = &base{out: b.Out, state: slices.Clone(b.State)}
	}
}

// Meta returns it as it was set, without the base.
func (i *Info) Meta(id logserver.ConnID, finished bool) logserver.Meta {
	s := i.shared.Value()
	m := logserver.Meta{
		ID: id, Tag: i.Tag, Service: s.service,
		Flow:     logserver.Flow{Client: i.client, Server: s.server},
		Finished: finished,
		Created:  time.Unix(0, i.Created),
		Modified: time.Unix(0, i.Modified),
	}
	if len(i.handshake) > 0 {
		m.Handshake = []byte(i.handshake)
	}
	if i.output != nil {
		m.Output = *i.output
	}
	return m
}

// Has reports whether one of the connection's endpoints is ep.
func (i *Info) Has(ep netip.AddrPort) bool { return i.client == ep || i.shared.Value().server == ep }

// Touch sets the time of the last change to now.
func (i *Info) Touch() { i.Modified = time.Now().UnixNano() }

// Begin is Touch for a connection that is opened now.
func (i *Info) Begin() {
	i.Touch()
	i.Created = i.Modified
}
