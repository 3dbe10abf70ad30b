package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
)

// synOptions are what a handshake agreed, as far as recovery repeats it. There are two
// for each connection: see the size of Conn.
type synOptions struct {
	mss    uint16
	wscale uint8
	given  given
}

// given says which options there are.
type given uint8

const (
	givenWS given = 1 << iota
	givenSACK
	givenTS
	givenECN // of a SYN-ACK (RFC 3168)
)

func optionsOf(s *segment.Segment) synOptions {
	o := &s.Options
	r := synOptions{mss: o.MSS, wscale: o.WScale}
	if o.HasWScale {
		r.given |= givenWS
	}
	if o.SACKPermitted {
		r.given |= givenSACK
	}
	if o.HasTS {
		r.given |= givenTS
	}
	if s.Flags&(segment.SYN|segment.ACK|segment.ECE) == segment.SYN|segment.ACK|segment.ECE {
		r.given |= givenECN
	}
	return r
}

func (o synOptions) hasWS() bool { return o.given&givenWS != 0 }
func (o synOptions) sack() bool  { return o.given&givenSACK != 0 }
func (o synOptions) ts() bool    { return o.given&givenTS != 0 }
func (o synOptions) ecn() bool   { return o.given&givenECN != 0 }

// Conn is one protected connection. Offsets are 64 bits wide and count stream
// bytes from 0, the first byte after the SYN; sequence numbers are the
// client's (never translated) and the original server's (what the client sees).
//
// There may be very many of these: what only few connections need at a time is
// in extra, and TestConnSize bounds it.
type Conn struct {
	Flow segment.Flow
	ID   logserver.ConnID // numbers rise in the order of the handshakes; 0 before Open has returned

	svc     *service
	base    *Base // where its log and its recovery begin; nil: with the connection. See start
	extra   *extra
	wire    *wire         // of an unmodified server, else nil
	ahead   *queue        // data beyond received, nil if there is none
	missing *missingInput // see missing_input.go; nil if there is none

	since int64 // time of the handshake, ns
	last  int64 // time of the client's newest segment, ns

	// The client's stream (spec: received, stable).
	received int64 // contiguous bytes given to the log
	stable   int64 // bytes that the log called stable
	fin      int64 // offset of the client's FIN, -1 while none is in order
	early    int64 // offset of a FIN that came out of order, -1 while none
	resume   int64 // stable offset that the last spoofed SYN announced

	unaOff int64 // offset of una from the server's first data byte

	lagAt        uint32 // time since when it waits for a log that stands still, see log_down.go; 0: it does not
	waited       uint32 // for how long log or engine have delayed an answer to the client, ms: see clientRTO
	probedAt     uint32 // time of the last keepalive probe; 0: none is needed
	slot         uint32
	gen          uint32
	timed        int32  // index in Machine.active plus 1, 0: not there
	tsAt         uint32 // time of peerTS, s
	peerTS       uint32 // newest valid TSval of the client (RFC 7323: TS.Recent)
	retransmitTS uint32 // TSval of a retransmission that was refused, if it is newer; 0: none

	irs, iss   uint32 // client's and original server's initial sequence numbers
	acked      uint32 // highest ACK number that the core has sent
	high       uint32 // end of the highest byte seen
	advertised uint32 // if recovered: right window edge that the client was advertised, in its last outage or since
	una        uint32 // highest number that the client has acknowledged
	nxt        uint32 // sequence end of the highest byte that left before the last crash
	finEnd     uint32 // number after the server's meant FIN
	maxWindow  uint32 // greatest window that the client has offered, bytes (RFC 5961)

	client     synOptions // of the client's SYN
	server     synOptions // of the original SYN-ACK
	synFlags   segment.Flags
	synWindow  uint16
	peerWindow uint16 // newest window field of the client
	recoveries uint16
	in, out    uint32 // interfaces: of the client's newest segment, and of the SYN-ACK; 0: not known. See Machine.ways
	flags      flags
	state      State
	reported   reasonSet // reasons that were reported for its not being protected
}

// extra is the state of a handshake, an outage, a reconnection or a cut-over.
type extra struct {
	// A handshake that waits for the log.
	syn    *segment.Segment
	synack []byte
	late   bool // SYNs of the client had waited before

	// An outage: what was sent to the client, and when.
	edge    uint32 // right window edge: the highest one advertised; once live again, the last one
	window  uint32 // window to offer beyond stable, bytes
	tsval   uint32
	tsecr   uint32
	ackedAt int64
	seqSeen uint32 // highest SEG.SEQ of the client; 0: none

	unseen unseen

	// A reconnection.
	deferred     []*segment.Segment // arrived while reconnecting
	tries        int
	since        int64
	began        int64            // first try of the present attempt
	repeatCookie bool             // Established: its SYN cookie is to be repeated, see startCookieRepeats
	notBefore    int64            // when the next attempt may begin
	answer       *segment.Segment // the SYN-ACK, until the kernel has the socket; while Reconnecting: a SYN cookie
	retryAt      int64
	cookieUnfit  bool  // a SYN cookie had no room for what was agreed to; see requeue
	requeued     bool  // requeue was called in this recovery
	roll         *roll // while Rolling

	halfOpen  bool  // Outage: the client has sent nothing since its SYN; see halfopen.go
	recoverAt int64 // Outage, with a living server: when to reconnect; 0: with the service's other connections

	// Open: the last ACK of the core, and how often it is to be sent again.
	lastACK        *segment.Segment
	lastACKRepeats int

	// Live again.
	liveAt  int64
	cutover int64            // segments tapped until this time may have been held by the gate; 0: none
	refused *segment.Segment // beyond the kernel's window: see deliverRefused; nil: none

	held     *segment.Segment // FIN or RST that the gate holds
	heldLen  uint32           // its length in sequence space
	whole    bool             // all its payload is known
	heldAt   int64
	heldFor  int  // ticks
	heldLast bool // the server's FIN had left before
	expireAt int64
	reason   string

	restore *restore // of a connection that was restored, until it is live
}

// newConn returns a connection that begins in a state. What is known of it the caller fills in.
func (m *Machine) newConn(svc *service, flow segment.Flow, state State) *Conn {
	return &Conn{Flow: flow, svc: svc, state: state, fin: -1, early: -1, since: m.now, last: m.now}
}

// setHandshake takes from SYN and SYN-ACK how both streams begin, and what was agreed to.
func (c *Conn) setHandshake(syn, synack *segment.Segment) {
	c.irs, c.iss = syn.Seq, synack.Seq
	c.client, c.server = optionsOf(syn), optionsOf(synack)
	if !c.server.hasWS() {
		c.client.wscale = 0
	}
	c.synFlags, c.synWindow = syn.Flags&(segment.SYN|segment.ECE|segment.CWR), syn.Window
	c.una, c.nxt = c.iss+1, c.iss+1
	c.peerWindow, c.maxWindow = syn.Window, uint32(syn.Window)
	c.peerTS = syn.Options.TSVal
}

// State returns the connection's state.
func (c *Conn) State() State { return c.state }

// Slot returns the index of the connection's gate slot and journal head.
func (c *Conn) Slot() uint32 { return c.slot }

// Generation returns the generation of the slot.
func (c *Conn) Generation() uint32 { return c.gen }

func (c *Conn) ensureExtra() *extra {
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

// behindLog reports whether the log has something of the client's that is not
// stable yet.
func (c *Conn) behindLog() bool {
	return c.stable < c.received || c.fin >= 0 && !c.is(finLogged)
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
