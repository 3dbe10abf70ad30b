package logserver

import (
	"net/netip"
	"sync"
	"time"
	"unique"
)

// connCost is what a connection's record is charged for, in bytes: about what
// it occupies.
const connCost = 320

// memConn is a connection in the memory log. There may be a million idle ones,
// hence the pains to keep it small.
type memConn struct {
	mu sync.Mutex // guards all below but id

	id     ConnID
	tag    uint64
	client netip.AddrPort
	// shared holds what a service's connections have in common.
	shared     unique.Handle[sharedMeta]
	irs, iss   uint32
	options    string // SYN's, then SYN-ACK's
	synOptions uint8  // how many of them are the SYN's
	finished   bool
	gone       bool // deleted, or the log is closed
	synFlags   uint16
	users      int32 // of chunks outside the lock: readers, borrowers
	rtt        time.Duration

	created, modified int64 // Unix time in ns

	start, end int64
	extents    []extent
	lent       int64 // what lies below was lent, and may be soiled
	// unread holds what was freed while it had users.
	unread *[]dirty
	reads  *readLog // nil until a read is recorded
	output *Output  // nil: nothing is said
}

type sharedMeta struct {
	service string
	server  netip.AddrPort
}

func (c *memConn) setMeta(m Meta) {
	c.tag = m.Tag
	c.client = m.Client
	c.shared = unique.Make(sharedMeta{m.Service, m.Server})
	c.irs, c.iss = m.IRS, m.ISS
	c.options = string(m.SYNOptions) + string(m.SYNACKOptions)
	c.synOptions = uint8(len(m.SYNOptions))
	c.synFlags = m.SYNFlags
	c.rtt = m.RTT
	c.output = nil
	if o := m.Output; o != (Output{}) {
		c.output = &o
	}
}

func (c *memConn) meta() Meta {
	s := c.shared.Value()
	var output Output
	if c.output != nil {
		output = *c.output
	}
	return Meta{
		ID: c.id, Tag: c.tag, Service: s.service,
		Flow: Flow{Client: c.client, Server: s.server},
		IRS:  c.irs, ISS: c.iss,
		SYNOptions:    []byte(c.options[:c.synOptions]),
		SYNACKOptions: []byte(c.options[c.synOptions:]),
		SYNFlags:      c.synFlags,
		RTT:           c.rtt,
		Output:        output,
		Finished:      c.finished,
		Created:       time.Unix(0, c.created),
		Modified:      time.Unix(0, c.modified),
	}
}

func (c *memConn) touch() { c.modified = time.Now().UnixNano() }
