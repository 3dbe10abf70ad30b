package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Behind an unanswered SYN-ACK there may be no client: SYNs with forged addresses make as many
// connections as the listener's queue takes, or, with SYN cookies, any number. Until its third ACK
// arrives a connection is half-open. It is protected, because the third ACK and data may be on
// their way; but it is not opened again after a crash, and it is evicted when another connection
// needs its slot.
//
//	            crash               the client's ACK
//	half-open ────────► Outage, ───────────────────────► as after any crash
//	                 half-open │
//	                           │ halfOpenLife, or another one needs the slot
//	                           ▼
//	                        Closed
//
// The kernel retransmits its SYN-ACK, because the client's ACK may be lost, and so does the core in
// an outage: a client that has it already answers with an ACK.

const (
	synAckFirst   = 1e9 // first retransmission time-out of a SYN-ACK, ns; it doubles
	synAckRepeats = 5   // net.ipv4.tcp_synack_retries
	halfOpenLife  = synAckFirst << (synAckRepeats + 1)
)

// The kernel never retransmits a SYN cookie; it only answers the client's next SYN. While a server
// was down its client may have sent so many SYNs that it sends no more, or none for a minute.

// startCookieRepeats makes the core retransmit a SYN cookie in place of the kernel.
func (m *Machine) startCookieRepeats(c *Conn) {
	x := c.ensureExtra()
	x.repeatCookie, x.tries, x.retryAt = true, 0, m.now+synAckFirst
	m.watch(c)
}

// tickCookieRepeats retransmits it when due, and reports whether it has to be called again.
func (m *Machine) tickCookieRepeats(c *Conn) bool {
	x := c.extra
	if m.handshakeComplete(c) || x.tries == synAckRepeats {
		x.repeatCookie = false
		return false
	}
	if m.now >= x.retryAt {
		x.tries++
		x.retryAt = m.now + synAckFirst<<x.tries
		m.sendSYNACK(c, c.peerTS)
	}
	return true
}

// handshakeComplete reports whether a connection's handshake is complete. The kernel may have received a
// third ACK that the tap has missed: only after that can Accept return the connection, and the server
// send on it.
func (m *Machine) handshakeComplete(c *Conn) bool {
	switch {
	case c.is(confirmed):
	case c.unsynced(), c.state == SynReceived:
		return false
	case c.is(recovered), m.head(c).Accepted, c.state == Established && m.slotOf(c).SndNxt() != c.iss+1, c.nxt != c.iss+1:
		m.confirm(c)
	}
	return c.is(confirmed)
}

// confirm notes that the client has answered the SYN-ACK.
func (m *Machine) confirm(c *Conn) {
	if c.is(confirmed) {
		return
	}
	c.set(confirmed)
	if !c.is(restored | unaUnknown) { // else an earlier engine has reported it
		m.report(ConnEstablished, c, "")
	}
}

// awaitThirdACK notes that a connection which enters Outage half-open must not be opened again before
// its client has answered.
func (m *Machine) awaitThirdACK(c *Conn) {
	x := c.extra
	if x.halfOpen = !m.handshakeComplete(c) && !c.unsynced(); x.halfOpen {
		x.tries, x.since, x.retryAt = 0, m.now, m.now+synAckFirst
	}
}

// tickHalfOpen retransmits the SYN-ACK of a connection in Outage, and ends a connection that nobody
// answers for. It reports whether the connection was half-open.
func (m *Machine) tickHalfOpen(c *Conn) bool {
	x := c.extra
	if !x.halfOpen || c.is(confirmed) {
		return false
	}
	switch {
	case m.now-x.since >= halfOpenLife:
		m.end(c, whyHalfOpen)
	case m.now >= x.retryAt && x.tries < synAckRepeats:
		x.tries++
		x.retryAt = m.now + synAckFirst<<x.tries
		m.sendSYNACK(c, c.peerTS)
	}
	return true
}

// halfOpenEntry names a connection that may be half-open.
type halfOpenEntry struct{ slot, gen uint32 }

func (m *Machine) addHalfOpen(c *Conn) {
	if len(m.halfOpens) > 2*int(m.cfg.MaxConns) {
		list := m.halfOpens[:0]
		for _, y := range m.halfOpens {
			if d := m.halfOpen(y); d != nil {
				list = append(list, y)
			}
		}
		m.halfOpens = list
	}
	m.halfOpens = append(m.halfOpens, halfOpenEntry{c.slot, c.gen})
}

// halfOpen returns the connection of an entry if it still is half-open, else nil.
func (m *Machine) halfOpen(y halfOpenEntry) *Conn {
	c := m.slots[y.slot].conn
	if c == nil || c.gen != y.gen || c.state != Established && c.state != Outage || m.handshakeComplete(c) {
		return nil
	}
	return c
}

// evictHalfOpen ends the oldest half-open connection to free its slot, and reports whether there was one.
func (m *Machine) evictHalfOpen() bool {
	for i, y := range m.halfOpens {
		c := m.halfOpen(y)
		if c == nil {
			continue
		}
		m.halfOpens = m.halfOpens[i+1:]
		m.end(c, string(reason.Evicted))
		m.noteUnprotected(c.Flow, reason.Evicted, m.allSlots())
		return true
	}
	m.halfOpens = m.halfOpens[:0]
	return false
}

// noteUnprotected remembers why a connection that begins is not protected. It is declared when its
// client answers: before that there may be no client.
func (m *Machine) noteUnprotected(flow segment.Flow, why reason.Reason, detail string) {
	m.syns.drop(flow)
	e := m.syns.make(flow)
	e.why, e.detail = why, detail
}

// allSlots says how many slots are in use when all are.
func (m *Machine) allSlots() string { return fmt.Sprintf("there are %d slots", m.cfg.MaxConns) }

// unknownSegment takes a segment of a connection that the core does not have. If noteUnprotected has
// noted that connection, it is declared now, once.
func (m *Machine) unknownSegment(svc *service, flow segment.Flow, s *segment.Segment) {
	e := m.syns.get(flow)
	if e == nil || e.why == "" || svc.outage || s.Flags&(segment.ACK|segment.RST|segment.SYN) != segment.ACK ||
		m.kernel.Socket(flow) != SocketOpen {
		return
	}
	why, detail := m.takeUnprotected(flow)
	m.declare(svc, flow, why, detail)
}

// takeUnprotected returns and forgets what noteUnprotected has noted of a flow; empty: nothing.
func (m *Machine) takeUnprotected(flow segment.Flow) (why reason.Reason, detail string) {
	e := m.syns.get(flow)
	if e == nil || e.why == "" {
		return "", ""
	}
	m.syns.drop(flow)
	return e.why, e.detail
}

// sendSYNACK retransmits the SYN-ACK to the client; tsecr is the newest timestamp of its SYNs.
func (m *Machine) sendSYNACK(c *Conn, tsecr uint32) {
	slot := m.slotOf(c)
	edge, tsval := slot.Edge(), slot.TSVal()
	if c.state != Established {
		edge, tsval = c.extra.edge, c.extra.tsval
	}
	s := &segment.Segment{
		Src: c.Flow.Server, Dst: c.Flow.Client, Seq: c.iss, Ack: c.irs + 1, Flags: segment.SYN | segment.ACK,
		Window: uint16(min(max(seqnum.Diff(edge, c.irs+1), 0), 65535)), // not scaled
	}
	if c.server.ecn() {
		s.Flags |= segment.ECE
	}
	o := &s.Options
	o.MSS, o.SACKPermitted = c.server.mss, c.server.sack()
	o.HasWScale, o.WScale = c.server.hasWS(), c.server.wscale
	o.HasTS, o.TSVal, o.TSEcr = c.server.ts(), tsval, tsecr
	m.net.ToClient(s)
}
