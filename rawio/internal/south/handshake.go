package south

import (
	"errors"
	"fmt"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Figure 12, session initiation: the SYN passes to the kernel at once, because
// only what the client can see has to wait for the log. The gate holds the SYN-ACK;
// it leaves when the connection's metadata, taken from both segments, is stable.

// syn takes a client's SYN from the tap.
func (m *Machine) syn(svc *service, flow segment.Flow, s *segment.Segment) {
	if s.Options.MD5 || s.Options.AO {
		m.refuseSYN(s)
		return
	}
	if c := m.conns.get(flow); c != nil {
		switch c.state {
		case Outage, Reconnecting, Rolling:
			m.answerSYN(c, s)
			return
		case SynReceived, Established:
			if s.Seq == c.irs { // a retransmission
				m.answerSYN(c, s)
				return
			}
		case Resetting, Lingering:
			if m.isSYNCopy(c, s.Seq, s.Options.TSVal) {
				return
			}
			// The client has abandoned the old connection. If the gate was still
			// holding its packets, it has held the SYN as well.
			if mode := m.slotOf(c).Mode(); mode != gate.ModeOutage && mode != gate.ModeRoll {
				break
			}
			m.forget(c)
			if !svc.outage {
				m.net.ToServer(s)
			}
		}
	}
	e := m.syns.make(flow)
	if e.synack != nil && m.now-e.arrived > synSkew {
		e.synack, e.packet = nil, nil // of an earlier SYN; the kernel answers this one too
	}
	if e.passed != nil && e.passed.ack == s.Seq+1 {
		return // a retransmission
	}
	e.syn, e.arrived, e.why, e.in, e.passed = clone(s), m.now, "", m.via, nil
	if !svc.outage && e.synack != nil {
		m.begin(svc, flow, e)
	}
}

// synSkew is by how much the tap's SYN may come later than the gate's event of its SYN-ACK, ns.
const synSkew = 250e6

// synAck takes a SYN-ACK that the gate held at time at, whole.
func (m *Machine) synAck(svc *service, flow segment.Flow, s *segment.Segment, packet []byte, cookie bool, at int64) {
	if c := m.conns.get(flow); c != nil {
		switch {
		case c.state == Outage || c.state == Rolling:
			return // from before the crash, or a retransmission
		case c.state == Reconnecting:
			m.reconnected(c, s, cookie, at)
			return
		case c.state == SynReceived && s.Seq == c.iss && s.Ack == c.irs+1:
			return // a retransmission; the first one still waits for the log
		case c.state == Established && !c.is(recovered) && s.Seq == c.iss && s.Ack == c.irs+1:
			m.net.Forward(packet) // a retransmission, from before the gate knew the connection
			return
		case c.state == Established && c.is(recovered) && (c.is(opening) || m.ofSocket(c, s)) && m.resumes(c, s.Ack):
			m.ackSpoofed(c, s) // the stack did not get our ACK
			return
		case c.state == Established && c.is(recovered) && m.ofReopening(c, s, at):
			return
		case c.state == SynReceived && s.Ack == c.irs+1: // nothing of the first has left
			e := &synEntry{syn: c.extra.syn, synack: clone(s), packet: append([]byte(nil), packet...), cookie: cookie}
			m.end(c, whyAnew)
			m.begin(svc, flow, e)
			return
		case c.state == Established && !c.is(recovered) && m.handshakeComplete(c) && c.is(byCookie) && s.Ack == c.irs+1 &&
			(m.now-c.since < cookieLife || m.kernel.Socket(flow) == SocketOpen):
			m.destroySYNCopy(c) // it is from before the cookie's third ACK, which may be lost
			return
		case m.afterKernelDone(c, s), m.isSYNCopy(c, s.Ack-1, s.Options.TSEcr): // over for the kernel, perhaps not for the client
			if m.kernel.Socket(flow) == SocketHalfOpen { // it may also be one that the core had reopened
				m.kernel.Destroy(flow)
			}
			return
		case c.state == Established && !c.is(recovered|confirmed) && s.Ack == c.irs+1:
			if c.is(byCookie) && m.now-c.since < cookieLife {
				m.destroySYNCopy(c)
				m.sendSYNACK(c, s.Options.TSEcr)
				return
			}
			m.repeatFirstSYNACK(c, s)
			return
		}
		// The kernel has accepted a new SYN for this pair of endpoints: the old
		// connection is over, even if its end was missed.
		m.end(c, "replaced by a new connection")
	}
	if svc.outage || at < svc.crashed {
		m.kernel.Destroy(flow) // half-open, of the dead process
		if e := m.syns.get(flow); !svc.outage && e != nil && e.syn != nil {
			// It may be of the restarted process already: that gets the SYN again.
			e.synack, e.packet, e.after = nil, nil, m.now
			m.net.ToServer(e.syn)
		}
		return
	}
	e := m.syns.make(flow)
	switch {
	case at < e.after:
		return
	case e.passed != nil && *e.passed == passedSYNACK{s.Seq, s.Ack}:
		m.net.Forward(packet)
		return
	}
	e.synack, e.packet, e.cookie, e.arrived = clone(s), append([]byte(nil), packet...), cookie, m.now
	e.out = m.via
	if e.syn != nil {
		m.begin(svc, flow, e)
	}
}

// afterKernelDone reports whether a SYN-ACK answers a copy of the SYN of a connection that is over for
// the kernel, while its client has not yet got the ACK of all that the kernel has acknowledged.
func (m *Machine) afterKernelDone(c *Conn, s *segment.Segment) bool {
	return c.state == Established && m.handshakeComplete(c) && !c.is(opening) && (c.is(recovered) || !c.is(byCookie)) &&
		s.Ack == c.irs+1 && seqnum.Less(c.stableSeq(), m.slotOf(c).Ack())
}

// isSYNCopy reports whether a SYN with a number and a timestamp is a copy of the one that began a
// connection which both sides have closed. A client that begins another connection so soon
// has another number (RFC 9293, section 3.4.1), or at least a newer timestamp (RFC 6191); one that
// has neither waits no longer than the old connection lingers, or would.
func (m *Machine) isSYNCopy(c *Conn, seq, ts uint32) bool {
	over := c.state == Lingering || c.state == Established && !c.is(opening) && m.bothFINs(c) && m.now-c.last < m.lingerTime(c)
	return over && seq == c.irs && !(c.server.ts() && seqnum.Less(c.peerTS, ts))
}

// bothFINs reports whether both FINs were seen. They may be acknowledged for the kernel and not yet
// here: the ACK of the client's FIN may wait for the log, that of the server's may still be in the tap.
func (m *Machine) bothFINs(c *Conn) bool {
	_, left := m.slotOf(c).FIN()
	return c.fin >= 0 && (left || c.is(finSent))
}

// ofSocket reports whether a SYN-ACK has the number of the socket by which the connection was opened again.
func (m *Machine) ofSocket(c *Conn, s *segment.Segment) bool {
	slot := m.slotOf(c)
	return s.Seq+1+slot.Delta() == slot.Base()
}

const whyAnew = "closed and replaced before its client was answered"

// cookieLife is for how long the kernel accepts the third ACK of a SYN cookie at least, ns.
// It keeps no state of the cookie and may answer the same SYN with another number, while the client
// may have got the first one.
const cookieLife = 60e9

// destroySYNCopy removes the half-open socket that a copy of the SYN has made. The client knows the
// cookie's number, and while the flow has another socket the kernel drops the cookie's third ACK, and
// all segments like it (tcp_v4_syn_recv_sock), for a minute. A third ACK that was dropped is sent again.
func (m *Machine) destroySYNCopy(c *Conn) {
	if m.kernel.Socket(c.Flow) != SocketHalfOpen {
		return
	}
	m.kernel.Destroy(c.Flow)
	if !m.handshakeComplete(c) {
		return
	}
	s := m.asClient(c)
	s.Flags, s.Ack = segment.ACK, c.iss+1
	s.Options.TSEcr = m.slotOf(c).TSVal()
	m.net.ToServer(s)
}

// repeatFirstSYNACK deals with a SYN-ACK whose number differs from the first one's, while the client
// has not answered: the kernel had forgotten the half-open connection when the SYN came
// again, and has begun anew. If both left, it would be unknown which one reaches the client, and
// which one it answers. So the client gets the first one again, and when it answers
// the connection is opened like one that was half-open in a crash.
func (m *Machine) repeatFirstSYNACK(c *Conn, synack *segment.Segment) {
	m.becomeOutage(c)
	m.sendSYNACK(c, synack.Options.TSEcr)
}

// begin starts the protection of a connection whose SYN and SYN-ACK are known.
func (m *Machine) begin(svc *service, flow segment.Flow, e *synEntry) {
	syn, synack := e.syn, e.synack
	if synack.Ack != syn.Seq+1 {
		e.synack = nil // of an older SYN
		return
	}
	if svc.Log == policy.LogOff {
		m.noteUnprotected(flow, reason.Off, "")
		m.passUnprotected(flow, e.packet, synack.Seq, synack.Ack)
		return
	}
	if m.isDown(svc) {
		m.noteUnprotected(flow, reason.LogDown, svc.waited())
		m.passUnprotected(flow, e.packet, synack.Seq, synack.Ack)
		return
	}
	c := m.newConn(svc, flow, SynReceived)
	c.setHandshake(syn, synack)
	c.acked, c.high, c.tsAt = c.irs+1, c.irs+1, m.seconds()
	c.in, c.out = e.in, e.out
	if svc.Unmodified {
		c.wire = newWire(svc.Compare, c.client.mss)
	}
	if e.cookie {
		c.set(byCookie | cookieSocket)
	}
	if !m.takeSlot(c) {
		m.noteUnprotected(flow, reason.NoSlots, m.allSlots())
		m.passUnprotected(flow, e.packet, c.iss, synack.Ack)
		return
	}
	m.conns.put(c)
	c.extra = &extra{syn: syn, synack: e.packet, edge: c.irs + 1 + uint32(synack.Window),
		tsval: synack.Options.TSVal, tsecr: synack.Options.TSEcr, late: e.queued}
	m.syns.drop(flow)
	a := agreedBy(syn, synack)
	id, err := m.log.Open(metaOf(c, &a))
	if err != nil {
		m.openFailed(c, err)
		return
	}
	c.ID = id // the upcall that releases the SYN-ACK finds c by its tag
	m.watchLog(c)
}

// openFailed deals with a connection that the log does not accept.
func (m *Machine) openFailed(c *Conn, err error) {
	packet := c.extra.synack
	m.forget(c)
	if c.svc.OnFull == policy.Unprotect && errors.Is(err, logserver.ErrQuota) {
		m.noteUnprotected(c.Flow, reason.LogFull, err.Error())
		m.passUnprotected(c.Flow, packet, c.iss, c.irs+1)
		return
	}
	// The client will retransmit its SYN. The half-open socket might answer that although its
	// listener is gone by then.
	m.kernel.Destroy(c.Flow)
	why := "new connection is not answered: " + err.Error()
	if unavailable(err) {
		m.report(ConnWaits, c, why)
	} else {
		m.report(QuotaFull, c, why)
	}
}

// metaStable forwards the SYN-ACK of a connection whose metadata is stable.
func (m *Machine) metaStable(c *Conn) {
	if c.state != SynReceived {
		return
	}
	x := c.extra
	c.extra = nil
	m.beginSlot(c, m.begunImage(c, x))
	if err := m.bind(c); err != nil {
		m.forget(c)
		m.noteUnprotected(c.Flow, reason.Refused, err.Error())
		m.passUnprotected(c.Flow, x.synack, c.iss, c.irs+1)
		return
	}
	if !m.becomeEstablished(c) {
		return
	}
	m.exposeIfUngated(c)
	m.addHalfOpen(c)
	m.Stats.Opened++
	m.report(ConnOpened, c, "")
	m.net.Forward(x.synack)
	if c.is(byCookie) && (x.late || m.now-c.since >= synAckFirst) { // the cookie or the log was late
		m.startCookieRepeats(c)
	}
}

// bind makes the connection known to the journal and the gate.
func (m *Machine) bind(c *Conn) error {
	if !c.svc.Unmodified {
		if err := m.record.Publish(c.slot, c.gen, c.Flow); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if err := m.gate.Bind(c.Flow, c.slot); err != nil {
		m.withdraw(c)
		return fmt.Errorf("gate: %w", err)
	}
	return nil
}
