package south

import (
	"errors"
	"fmt"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/gate"
)

// Figure 12, session initiation: the SYN passes to the kernel at once, for
// only what the client can see has to wait for the log. The SYN-ACK is held by
// the gate and leaves when the connection's metadata, from both, is stable.

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
			if s.Seq == c.irs { // sent again
				m.answerSYN(c, s)
				return
			}
		case Resetting, Lingering:
			if m.copied(c, s.Seq, s.Options.TSVal) {
				return
			}
			// The client has given up the old connection. If the gate still
			// held its packets, it held the SYN as well.
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
		e.synack, e.packet = nil, nil // of a SYN before; the kernel answers this one too
	}
	if e.passed != nil && e.passed.ack == s.Seq+1 {
		return // sent again
	}
	e.syn, e.arrived, e.why, e.in, e.passed = clone(s), m.now, "", m.via, nil
	if !svc.outage && e.synack != nil {
		m.begin(svc, flow, e)
	}
}

// synSkew is by how much the news of a SYN may come later than that of its SYN-ACK, ns.
const synSkew = 250e6

// synAck takes a SYN-ACK that the gate held at time at, whole.
func (m *Machine) synAck(svc *service, flow segment.Flow, s *segment.Segment, packet []byte, cookie bool, at int64) {
	if c := m.conns.get(flow); c != nil {
		switch {
		case c.state == Outage || c.state == Rolling:
			return // from the time before the crash, or repeated
		case c.state == Reconnecting:
			m.reconnected(c, s, cookie, at)
			return
		case c.state == SynReceived && s.Seq == c.iss && s.Ack == c.irs+1:
			return // the kernel repeats what still waits for the log
		case c.state == Established && !c.is(recovered) && s.Seq == c.iss && s.Ack == c.irs+1:
			m.net.Forward(packet) // the same again, from before the gate knew the connection
			return
		case c.state == Established && c.is(recovered) && (c.is(opening) || m.ofSocket(c, s)) && m.resumes(c, s.Ack):
			m.ackSpoofed(c, s) // the stack did not get our ACK
			return
		case c.state == Established && c.is(recovered) && m.ofReopening(c, s, at):
			return
		case c.state == SynReceived && s.Ack == c.irs+1: // nothing of the first has left
			e := &embryo{syn: c.extra.syn, synack: clone(s), packet: append([]byte(nil), packet...), cookie: cookie}
			m.end(c, whyAnew)
			m.begin(svc, flow, e)
			return
		case c.state == Established && !c.is(recovered) && m.completed(c) && c.is(byCookie) && s.Ack == c.irs+1 &&
			(m.now-c.since < cookieLife || m.kernel.Socket(flow) == SocketOpen):
			m.clearWay(c) // of a copy of the SYN, from before the cookie's third ACK, which may be lost
			return
		case m.outlasts(c, s), m.copied(c, s.Ack-1, s.Options.TSEcr): // the kernel is done, and its client may not be
			if m.kernel.Socket(flow) == SocketHalfOpen { // it may also be one that the core had reopened
				m.kernel.Destroy(flow)
			}
			return
		case c.state == Established && !c.is(recovered|confirmed) && s.Ack == c.irs+1:
			if c.is(byCookie) && m.now-c.since < cookieLife {
				m.clearWay(c)
				m.sendSYNACK(c, s.Options.TSEcr)
				return
			}
			m.keepFirst(c, s)
			return
		}
		// The kernel took a new SYN for this pair of endpoints: the old
		// connection is over, whatever was missed of its end.
		m.end(c, "replaced by a new connection")
	}
	if svc.outage || at < svc.crashed {
		m.kernel.Destroy(flow) // half-open, of the dead process
		if e := m.syns.get(flow); !svc.outage && e != nil && e.syn != nil {
			// Or of its successor already: that gets the SYN again.
			e.synack, e.packet, e.after = nil, nil, m.now
			m.net.ToServer(e.syn)
		}
		return
	}
	e := m.syns.make(flow)
	switch {
	case at < e.after:
		return
	case e.passed != nil && *e.passed == passed{s.Seq, s.Ack}:
		m.net.Forward(packet)
		return
	}
	e.synack, e.packet, e.cookie, e.arrived = clone(s), append([]byte(nil), packet...), cookie, m.now
	e.out = m.via
	if e.syn != nil {
		m.begin(svc, flow, e)
	}
}

// outlasts reports whether a SYN-ACK answers a copy of the SYN of a connection with which the kernel
// is done, and whose client has not got the ACK of all that the kernel has acknowledged.
func (m *Machine) outlasts(c *Conn, s *segment.Segment) bool {
	return c.state == Established && m.completed(c) && !c.is(opening) && (c.is(recovered) || !c.is(byCookie)) &&
		s.Ack == c.irs+1 && seqnum.Less(c.stableSeq(), m.slotOf(c).Ack())
}

// copied reports whether a SYN with a number and a timestamp is a copy of the one that began a
// connection which both sides have closed. A client that begins another connection so soon
// has another number (RFC 9293, section 3.4.1), or at least a newer timestamp (RFC 6191); one that
// has neither waits no longer than the old connection lingers, or would.
func (m *Machine) copied(c *Conn, seq, ts uint32) bool {
	over := c.state == Lingering || c.state == Established && !c.is(opening) && m.ends(c) && m.now-c.last < m.lingers(c)
	return over && seq == c.irs && !(c.server.ts() && seqnum.Less(c.peerTS, ts))
}

// ends reports whether both FINs have come by. That they are acknowledged the kernel knows first: the
// ACK of the client's may have to wait for the log, and that of the server's may still be in the tap.
func (m *Machine) ends(c *Conn) bool {
	_, left := m.slotOf(c).FIN()
	return c.fin >= 0 && (left || c.is(finSent))
}

// ofSocket reports whether a SYN-ACK has the number of the socket by which the connection was opened again.
func (m *Machine) ofSocket(c *Conn, s *segment.Segment) bool {
	slot := m.slotOf(c)
	return s.Seq+1+slot.Delta() == slot.Base()
}

const whyAnew = "closed before its client had heard of it, and begun anew"

// cookieLife is for how long the kernel takes the third ACK of a SYN cookie at least, ns.
// It has forgotten that it has sent one, and may answer the same SYN otherwise: the client
// knows the first number perhaps.
const cookieLife = 60e9

// clearWay removes the half-open socket of a copy of the SYN: its client knows the cookie's number, and
// as long as there is another socket of the flow the kernel drops the cookie's third ACK, and all
// that repeats it (tcp_v4_syn_recv_sock), for a minute. One that was dropped is sent again.
func (m *Machine) clearWay(c *Conn) {
	if m.kernel.Socket(c.Flow) != SocketHalfOpen {
		return
	}
	m.kernel.Destroy(c.Flow)
	if !m.completed(c) {
		return
	}
	s := m.asClient(c)
	s.Flags, s.Ack = segment.ACK, c.iss+1
	s.Options.TSEcr = m.slotOf(c).TSVal()
	m.net.ToServer(s)
}

// keepFirst takes a SYN-ACK with another number than the first one, of a client that has
// not answered that: the kernel had forgotten the half-open connection when the SYN came
// again, and has begun it anew. Nobody could tell which of the two reaches the client, and
// which one it answers: it gets the first one again, and when it answers
// the connection is opened like one that was half-open in a crash.
func (m *Machine) keepFirst(c *Conn, synack *segment.Segment) {
	m.becomeOutage(c)
	m.sendSYNACK(c, synack.Options.TSEcr)
}

// begin starts the protection of a connection of which SYN and SYN-ACK are known.
func (m *Machine) begin(svc *service, flow segment.Flow, e *embryo) {
	syn, synack := e.syn, e.synack
	if synack.Ack != syn.Seq+1 {
		e.synack = nil // of an older SYN
		return
	}
	if svc.Log == policy.LogOff {
		m.goesUnprotected(flow, reason.Off, "")
		m.pass(flow, e.packet, synack.Seq, synack.Ack)
		return
	}
	if m.isDown(svc) {
		m.goesUnprotected(flow, reason.LogDown, svc.waited())
		m.pass(flow, e.packet, synack.Seq, synack.Ack)
		return
	}
	c := m.newConn(svc, flow, SynReceived)
	c.begins(syn, synack)
	c.acked, c.high, c.tsAt = c.irs+1, c.irs+1, m.seconds()
	c.in, c.out = e.in, e.out
	if svc.Unmodified {
		c.wire = newWire(svc.Compare, c.client.mss)
	}
	if e.cookie {
		c.set(byCookie | replayed)
	}
	if !m.takeSlot(c) {
		m.goesUnprotected(flow, reason.NoSlots, m.allSlots())
		m.pass(flow, e.packet, c.iss, synack.Ack)
		return
	}
	m.conns.put(c)
	c.extra = &extra{syn: syn, synack: e.packet, edge: c.irs + 1 + uint32(synack.Window),
		tsval: synack.Options.TSVal, tsecr: synack.Options.TSEcr, late: e.waits}
	m.syns.drop(flow)
	a := agreedBy(syn, synack)
	id, err := m.log.Open(metaOf(c, &a))
	if err != nil {
		m.openFailed(c, err)
		return
	}
	c.ID = id // the upcall that lets the SYN-ACK go finds c by its tag
	m.lag(c)
}

// openFailed deals with a connection that the log does not take.
func (m *Machine) openFailed(c *Conn, err error) {
	packet := c.extra.synack
	m.forget(c)
	if c.svc.OnFull == policy.Unprotect && errors.Is(err, logserver.ErrQuota) {
		m.goesUnprotected(c.Flow, reason.LogFull, err.Error())
		m.pass(c.Flow, packet, c.iss, c.irs+1)
		return
	}
	// The client sends its SYN again. The half-open socket might answer that in the
	// name of a listener that is gone by then.
	m.kernel.Destroy(c.Flow)
	why := "new connection is not answered: " + err.Error()
	if unavailable(err) {
		m.report(ConnWaits, c, why)
	} else {
		m.report(QuotaFull, c, why)
	}
}

// metaStable lets the SYN-ACK of a connection go.
func (m *Machine) metaStable(c *Conn) {
	if c.state != SynReceived {
		return
	}
	x := c.extra
	c.extra = nil
	m.beginSlot(c, m.begunImage(c, x))
	if err := m.bind(c); err != nil {
		m.forget(c)
		m.goesUnprotected(c.Flow, reason.Refused, err.Error())
		m.pass(c.Flow, x.synack, c.iss, c.irs+1)
		return
	}
	if !m.becomeEstablished(c) {
		return
	}
	m.exposeIfUngated(c)
	m.mayBeHalfOpen(c)
	m.Stats.Opened++
	m.report(ConnOpened, c, "")
	m.net.Forward(x.synack)
	if c.is(byCookie) && (x.late || m.now-c.since >= synAckFirst) { // it was late, or the log was
		m.awaitCookie(c)
	}
}

// bind makes the journal and the gate know the connection.
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
