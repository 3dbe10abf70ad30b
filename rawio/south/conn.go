package south

import (
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/segment"
)

// State of a connection; the package comment draws the transitions.
type State uint8

// The states.
const (
	SynReceived State = iota
	Established
	Outage
	Reconnecting
	Resetting
	Open
	Lingering
	Closed
)

var stateNames = [...]string{"syn-received", "established", "outage", "reconnecting", "resetting", "open", "lingering", "closed"}

func (s State) String() string { return stateNames[s] }

// synOptions are what a handshake agreed, as far as recovery repeats it.
type synOptions struct {
	mss    uint16
	wscale uint8
	hasWS  bool
	sack   bool
	ts     bool
}

func optionsOf(s *segment.Segment) synOptions {
	o := &s.Options
	return synOptions{mss: o.MSS, wscale: o.WScale, hasWS: o.HasWScale, sack: o.SACKPermitted, ts: o.HasTS}
}

// Conn is one protected connection. Offsets are 64 bits wide and count stream
// bytes from 0, the first byte after the SYN; sequence numbers are the
// client's (never translated) and the original server's (what the client sees).
type Conn struct {
	Flow  segment.Flow
	ID    logserver.ConnID
	Order uint64 // of the handshake, within the machine

	svc   *service
	slot  uint32
	gen   uint32
	state State

	irs, iss  uint32     // client's and original server's initial sequence numbers
	client    synOptions // of the client's SYN
	server    synOptions // of the original SYN-ACK
	synFlags  segment.Flags
	synWindow uint16

	// The client's stream (spec: received, stable).
	received int64  // contiguous bytes given to the log
	stable   int64  // bytes that the log called stable
	acked    uint32 // highest ACK number that the core has sent
	fin      int64  // offset of the client's FIN, -1 while none is in order
	early    int64  // offset of a FIN that came out of order, -1 while none
	ahead    queue  // data beyond received
	high     uint32 // end of the highest byte seen

	// The server's stream.
	una    uint32 // highest number that the client has acknowledged
	unaOff int64  // its offset from the first data byte
	nxt    uint32 // sequence end of the highest byte that left before the last crash
	finEnd uint32 // number after the server's meant FIN

	peerWindow uint16 // newest window field of the client
	maxWindow  uint32 // greatest window the client ever offered, bytes (RFC 5961)
	peerTS     uint32 // newest valid TSval of the client (RFC 7323: TS.Recent)

	flags flags
	extra *extra // what only few connections need at a time
	last  int64  // time of the client's newest segment, ns
	since int64  // time of the handshake, ns
}

type flags uint16

const (
	touched   flags = 1 << iota // in Machine.touched
	owed                        // the kernel wants an ACK above what left
	dupAck                      // tell the client of a gap that only the tap has
	ackDue                      // outage: answer with an ACK
	finSent                     // the server's meant FIN has left
	finAcked                    // and the client has it
	clientRST                   // the client reset the connection
	recovered                   // translation in force
	limited                     // the window is closed: the quota is used up
	finLogged                   // the client's FIN is in the log
)

// extra is the state of an outage, a reconnection or a cut-over.
type extra struct {
	frozen      []*segment.Segment // arrived while reconnecting
	resume      int64              // stable offset that the spoofed SYN announced
	tries       int
	retryAt     int64
	started     int64
	cutover     int64 // segments tapped before this time may have been stolen
	tsval       uint32
	tsecr       uint32
	edge        uint32 // right window edge that the client was promised
	window      uint32 // bytes to promise beyond stable
	held        []byte // FIN or RST that the gate holds; SYN-ACK that waits for the log
	heldSegment segment.Segment
	heldLen     uint32
	heldAt      int64
	heldFIN     bool
	expireAt    int64
	reason      string
	recoveries  int
	ackedAt     int64
}

// State returns the connection's state.
func (c *Conn) State() State { return c.state }

// Slot returns the index of the connection's gate slot and journal head.
func (c *Conn) Slot() uint32 { return c.slot }

// Generation returns the generation of the slot.
func (c *Conn) Generation() uint32 { return c.gen }

func (c *Conn) is(f flags) bool { return c.flags&f != 0 }
func (c *Conn) set(f flags)     { c.flags |= f }
func (c *Conn) unset(f flags)   { c.flags &^= f }

func (c *Conn) more() *extra {
	if c.extra == nil {
		c.extra = &extra{}
	}
	return c.extra
}

// rcvNxt is the next number that the core expects from the client.
func (c *Conn) rcvNxt() uint32 {
	n := c.irs + 1 + uint32(c.received)
	if c.fin >= 0 && c.received == c.fin {
		n++
	}
	return n
}

// stableSeq is the highest ACK number that may leave (the spec's stable + 1).
func (c *Conn) stableSeq() uint32 {
	n := c.irs + 1 + uint32(c.stable)
	if c.is(finLogged) && c.stable == c.fin {
		n++
	}
	return n
}

// sentEnd is the end of the server's data that may have reached the client,
// without a FIN.
func (c *Conn) sentEnd() uint32 {
	if c.is(finSent) && c.nxt == c.finEnd {
		return c.nxt - 1
	}
	return c.nxt
}

// ackedEnd is una without a FIN.
func (c *Conn) ackedEnd() uint32 { return seqnum.Min(c.una, c.sentEnd()) }

// clone copies a segment whose payload lies in the tap's buffer.
func clone(s *segment.Segment) *segment.Segment {
	d := *s
	d.Payload = append([]byte(nil), s.Payload...)
	return &d
}
