package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// A client that has not answered its SYN-ACK may be none: whoever sends SYNs with forged
// addresses makes as many connections as the listener's queue takes, or, by SYN cookies,
// without end. Until the third ACK is there a connection is half-open. It is protected,
// because the third ACK may be on its way, and what follows it; but it is
// not opened again after a crash, and it gives way to others when all slots are in use.
//
//	            crash               the client's ACK
//	half-open ────────► Outage, ───────────────────────► as after any crash
//	                 half-open │
//	                           │ halfOpenLife, or another one needs the slot
//	                           ▼
//	                        Closed
//
// The kernel repeats its SYN-ACK, for the client's ACK may be lost, and so does the core in
// an outage: a client that has it already answers by an ACK.

const (
	synAckFirst   = 1e9 // between two SYN-ACKs at first, ns; it doubles
	synAckRepeats = 5   // net.ipv4.tcp_synack_retries
	halfOpenLife  = synAckFirst << (synAckRepeats + 1)
)

// A SYN cookie nobody repeats but for the client's next SYN. While a server was away its
// client may have said that so often that it will not again, or not for a minute.

// awaitCookie has the core repeat a SYN cookie in the kernel's stead.
func (m *Machine) awaitCookie(c *Conn) {
	x := c.more()
	x.cookie, x.tries, x.retryAt = true, 0, m.now+synAckFirst
	m.watch(c)
}

// tickCookieSYN repeats it, and reports whether that has to go on.
func (m *Machine) tickCookieSYN(c *Conn) bool {
	x := c.extra
	if m.completed(c) || x.tries == synAckRepeats {
		x.cookie = false
		return false
	}
	if m.now >= x.retryAt {
		x.tries++
		x.retryAt = m.now + synAckFirst<<x.tries
		m.sendSYNACK(c, c.peerTS)
	}
	return true
}

// completed reports whether a connection's handshake is. The kernel may have got what
// the tap has missed: it gives a connection to Accept, and has it say something, after the third ACK only.
func (m *Machine) completed(c *Conn) bool {
	switch {
	case c.is(confirmed):
	case c.unsynced(), c.state == SynReceived:
		return false
	case c.is(recovered), m.head(c).Accepted, c.state == Established && m.slotOf(c).SndNxt() != c.iss+1, c.nxt != c.iss+1:
		m.confirm(c)
	}
	return c.is(confirmed)
}

// confirm takes note that the client has answered the SYN-ACK.
func (m *Machine) confirm(c *Conn) {
	if c.is(confirmed) {
		return
	}
	c.set(confirmed)
	if !c.is(restored | unaUnknown) { // those an earlier engine has reported
		m.report(ConnEstablished, c, "")
	}
}

// awaitThirdACK has a connection that enters Outage half-open not be opened again before its
// client has answered.
func (m *Machine) awaitThirdACK(c *Conn) {
	x := c.extra
	if x.halfOpen = !m.completed(c) && !c.unsynced(); x.halfOpen {
		x.tries, x.since, x.retryAt = 0, m.now, m.now+synAckFirst
	}
}

// tickHalfOpen repeats the SYN-ACK, and gives up what nobody answers. It reports whether
// it is half-open.
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

// young is a connection that was half-open at first.
type young struct{ slot, gen uint32 }

func (m *Machine) mayBeHalfOpen(c *Conn) {
	if len(m.young) > 2*int(m.cfg.MaxConns) {
		list := m.young[:0]
		for _, y := range m.young {
			if d := m.halfOpen(y); d != nil {
				list = append(list, y)
			}
		}
		m.young = list
	}
	m.young = append(m.young, young{c.slot, c.gen})
}

// halfOpen returns the connection if it still is.
func (m *Machine) halfOpen(y young) *Conn {
	c := m.slots[y.slot].conn
	if c == nil || c.gen != y.gen || c.state != Established && c.state != Outage || m.completed(c) {
		return nil
	}
	return c
}

// giveWay forgets the oldest half-open connection, and reports whether there was one.
func (m *Machine) giveWay() bool {
	for i, y := range m.young {
		c := m.halfOpen(y)
		if c == nil {
			continue
		}
		m.young = m.young[i+1:]
		m.end(c, string(reason.GaveWay))
		m.goesUnprotected(c.Flow, reason.GaveWay, m.allSlots())
		return true
	}
	m.young = m.young[:0]
	return false
}

// goesUnprotected remembers that a connection is not protected, and why. As long as its
// client has not answered there may be none.
func (m *Machine) goesUnprotected(flow segment.Flow, why reason.Reason, detail string) {
	m.syns.drop(flow)
	e := m.syns.make(flow)
	e.why, e.detail = why, detail
}

// allSlots says how many slots are in use when all are.
func (m *Machine) allSlots() string { return fmt.Sprintf("there are %d slots", m.cfg.MaxConns) }

// stranger takes a segment of a connection that is not known: if it is one that goes on
// without protection, that is said now, and once.
func (m *Machine) stranger(svc *service, flow segment.Flow, s *segment.Segment) {
	e := m.syns.get(flow)
	if e == nil || e.why == "" || svc.outage || s.Flags&(segment.ACK|segment.RST|segment.SYN) != segment.ACK ||
		m.kernel.Socket(flow) != SocketOpen {
		return
	}
	why, detail := m.waived(flow)
	m.declare(svc, flow, why, detail)
}

// waived returns what goesUnprotected has remembered of a flow, and forgets it; empty: nothing.
func (m *Machine) waived(flow segment.Flow) (why reason.Reason, detail string) {
	e := m.syns.get(flow)
	if e == nil || e.why == "" {
		return "", ""
	}
	m.syns.drop(flow)
	return e.why, e.detail
}

// sendSYNACK sends the client the SYN-ACK once more; tsecr is the newest timestamp of its SYNs.
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
