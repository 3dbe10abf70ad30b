package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Event takes an event of the gate about a segment of the server, which is not
// translated and was judged at time at (on the clock of Kernel.Now). length is the
// segment's length in sequence space; packet is the packet from its IP header,
// nil if the gate could not capture all of it.
func (m *Machine) Event(kind gate.EventKind, s *segment.Segment, length uint32, packet []byte, at int64) {
	m.readClock()
	at = m.of(at)
	if kind == gate.EventRefused {
		m.refuseSYN(s)
		return
	}
	flow := segment.Flow{Client: s.Dst, Server: s.Src}
	svc := m.services[flow.Server.Port()]
	if svc == nil || svc.fenced {
		return
	}
	if kind == gate.EventSYNACK || kind == gate.EventCookie {
		m.synAck(svc, flow, s, packet, kind == gate.EventCookie, at)
		return
	}
	c := m.conns.get(flow)
	if kind == gate.EventRSTHeld && packet != nil && (c == nil || refusesSYN(s)) {
		m.refused(svc, flow, packet)
		return
	}
	if c == nil {
		return
	}
	if c.state == Established {
		m.noticeFIN(c, m.slotOf(c))
	}
	switch kind {
	case gate.EventRSTSent:
		m.resetByServer(c)
	case gate.EventFINHeld, gate.EventRSTHeld: // figures 17, 18
		m.hold(c, kind, s, length, packet != nil)
	case gate.EventUnfollowed:
		m.unfollowed(c, s)
	}
}

// refusesSYN reports whether a RST is the answer to a SYN for which there is no
// listener: a connection of the same endpoints, if one is known, is over.
func refusesSYN(s *segment.Segment) bool {
	return s.Flags.Has(segment.ACK) && s.Seq == 0
}

// refused takes the kernel's RST for a SYN to a port without a listener. It may be the
// first sign of a crash, so the RST leaves only when the client's
// next SYN is refused as well and the process still lives.
func (m *Machine) refused(svc *service, flow segment.Flow, packet []byte) {
	e := m.syns.make(flow)
	switch {
	case svc.outage:
	case !svc.alive, e.refused != 0 && m.now-e.refused >= meantAfter && !m.processEnding(svc):
		m.syns.drop(flow)
		m.net.Forward(packet)
	case e.refused == 0:
		e.refused = m.now
	}
}

func (m *Machine) refuseSYN(s *segment.Segment) {
	m.cfg.Report(Report{
		Kind: SYNRefused, Port: s.Dst.Port(), Flow: segment.Flow{Client: s.Src, Server: s.Dst},
		Reason: "TCP-MD5 and TCP-AO sign sequence numbers and cannot be protected",
	})
}
