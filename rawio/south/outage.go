package south

import (
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/segment"
)

// minPromise is the least window that the core offers in an outage, bytes.
const minPromise = 64 << 10

// Crash declares that the process that served the ports is gone (figures 17,
// 18): from now on the gate holds everything, the core answers the clients,
// and new SYNs wait. The kernel sockets that the process left are removed,
// except those whose connection the application had closed: they drain.
func (m *Machine) Crash(ports ...uint16) {
	m.now = m.env.Now()
	for _, port := range ports {
		svc := m.services[port]
		if svc == nil {
			continue
		}
		svc.outage, svc.alive, svc.busy = true, false, false
		svc.queue, svc.inflight = nil, 0
		m.env.SetService(port, true)
		for _, c := range m.conns {
			if c.svc == svc {
				m.crashed(c)
			}
		}
	}
	m.Flush()
}

func (m *Machine) crashed(c *Conn) {
	switch c.state {
	case SynReceived:
		m.forget(c) // nothing of it has left; the client repeats its SYN
	case Established:
		switch head := m.env.Head(c.slot); {
		case head.Closing:
		case head.Lost:
			m.interrupt(c)
			m.reset(c, "the record of its reads or writes is incomplete")
		default:
			m.interrupt(c)
		}
	case Reconnecting:
		frozen := c.extra.frozen
		c.extra.frozen = nil
		m.interrupt(c)
		for _, s := range frozen {
			m.absorb(c, s)
		}
	}
}

// interrupt takes a connection from the kernel: from Established or
// Reconnecting to Outage.
func (m *Machine) interrupt(c *Conn) {
	slot := m.env.Slot(c.slot)
	slot.SetMode(gate.ModeOutage)
	x := c.more()
	if c.state == Established {
		c.nxt = seqnum.Max(c.nxt, slot.SndNxt())
		x.edge, x.tsval = slot.Edge(), slot.TSVal()
		x.window = uint32(max(seqnum.Diff(x.edge, c.stableSeq()), minPromise))
		if slot.TakeHeld() || c.is(owed) {
			c.set(ackDue)
			m.touch(c)
		}
	}
	x.started, x.ackedAt = m.now, m.now
	x.held, x.cutover, x.tries = nil, 0, 0
	c.unset(owed | dupAck)
	c.state = Outage
	m.watch(c)
	m.env.Destroy(c.Flow)
}

// absorb takes a client's segment during the outage: what is new is logged,
// and what a living TCP would answer is answered (RFC 9293 section 3.10.7.4).
func (m *Machine) absorb(c *Conn, s *segment.Segment) {
	x := c.extra
	b := bounds{ack: c.stableSeq(), edge: x.edge, sent: c.nxt}
	switch c.judge(s, b) {
	case resets:
		c.set(clientRST)
		m.remove(c, "reset by the client")
		return
	case accept:
		m.accepted(c, s, b.edge)
		if s.Len() == 0 {
			return
		}
	default:
		if s.Flags.Has(segment.RST) && s.Seq != b.ack {
			break // RFC 5961: a challenge ACK
		}
		m.Stats.Refused++
	}
	c.set(ackDue)
	m.touch(c)
}

// answer sends the ACK of an outage: what is stable, and a window that never
// takes back what was promised.
func (m *Machine) answer(c *Conn) {
	ack := c.stableSeq()
	if !c.is(ackDue) && !seqnum.Less(c.acked, ack) {
		return
	}
	c.unset(ackDue)
	x := c.extra
	edge := seqnum.Max(x.edge, ack+x.window)
	slot := m.env.Slot(c.slot)
	if slot.Flags()&gate.FlagLimit != 0 {
		edge = seqnum.Min(edge, slot.Limit())
	}
	x.edge = seqnum.Max(x.edge, edge)
	s := c.ackSegment(ack, edge)
	s.Options.TSVal, s.Options.TSEcr = x.tsval, c.peerTS
	m.trace(c, ack)
	c.acked, x.ackedAt = ack, m.now
	m.Stats.ACKs++
	m.env.ToClient(s)
}
