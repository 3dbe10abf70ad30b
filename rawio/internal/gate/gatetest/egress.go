package gatetest

import "github.com/ftnet/ftnet/rawio/internal/gate"

// Egress judges a packet that the server's kernel sends, not the engine, given
// its socket's priority, and rewrites it in place. pkt begins at the IP header;
// its checksums must be complete.
func (m *Model) Egress(pkt []byte, priority uint32) Verdict {
	p, ok := parseIP(pkt)
	if !ok {
		return Pass
	}
	switch {
	case p.protocol == protoTCP:
		return m.egressTCP(&p, priority)
	case p.fragment:
	case p.protocol == protoICMP, p.protocol == protoICMPv6:
		return m.icmpOut(&p)
	}
	return Pass
}

func (m *Model) egressTCP(p *packet, priority uint32) Verdict {
	if len(p.b) < p.l4+tcpHeader {
		return Pass
	}
	p.ports(p.tcp(), toClient)
	service, ok := m.services[p.flow.Server.Port()]
	if !ok {
		return Pass
	}
	if !p.valid() {
		m.count.Malformed++
		return Pass
	}
	synack := p.flags()&(flagSYN|flagACK) == flagSYN|flagACK
	s, index := m.lookup(p.flow)
	if index == gate.ProofSlot {
		m.report(gate.EventProofOut, index, p)
		return Returned
	}
	if s == nil && m.From == FromElsewhere {
		return Pass
	}
	if s == nil && service.state == gate.ServiceHold {
		m.count.OutageOut++
		return Held
	}
	if p.refusesSYN() && (s == nil || p.refusesAgain(s)) {
		if m.engineDead() {
			return m.passes()
		}
		m.report(gate.EventRSTHeld, gate.NoSlot, p)
		m.count.RSTHeld++
		return Held
	}
	if s == nil {
		switch {
		case !synack:
			return Pass
		case m.engineDead():
			return m.passes()
		}
		return m.holdSYNACK(p, gate.NoSlot)
	}
	if s.Mode() == gate.ModeFree {
		return Pass
	}
	s.GateSide().CountEgress()
	mode := s.Mode()
	if synack && p.newSYNACK(s) && m.engineDead() {
		delete(m.conns, p.flow)
		return m.passes()
	}
	if p.fragment && (mode == gate.ModeLive || mode == gate.ModeOpen) {
		return m.unfollowed(p, s, index)
	}
	if p.flags()&flagURG != 0 && mode == gate.ModeLive && !s.Opened() {
		m.unfollowed(p, s, index)
	}
	switch {
	case mode == gate.ModeLive:
		return m.egressLive(p, s, index, priority)
	case mode == gate.ModeOpen || mode == gate.ModeOutage && m.openSlot(s):
		return m.egressOpen(p, s)
	case mode != gate.ModeOutage && p.answers() && m.openSlot(s):
		return Pass
	case mode == gate.ModeRoll:
		if m.capture(gate.OutputRoll, index, p, be.Uint32(p.tcp()[4:])) {
			m.count.Rolled++
		}
		return Held
	case mode == gate.ModeSpoof && synack:
		return m.holdSYNACK(p, index)
	}
	m.count.OutageOut++
	return Held
}

// unfollowed notes that the server sends what the engine can't repeat or translate.
func (m *Model) unfollowed(p *packet, s *gate.Slot, index uint32) Verdict {
	m.count.Unfollowed++
	m.report(gate.EventUnfollowed, index, p)
	if p.fragment && s.Flags()&gate.FlagXlate != 0 {
		return Held
	}
	why := gate.OpenedUrgent
	if p.fragment {
		why = gate.OpenedFragment
	}
	s.GateSide().Open(why)
	return Pass
}

// refusesSYN says whether this is the kernel's answer to a SYN for a port that
// nobody listens on (RFC 9293, section 3.10.7.1).
func (p *packet) refusesSYN() bool {
	return p.flags()&(flagSYN|flagACK|flagRST) == flagACK|flagRST && be.Uint32(p.tcp()[4:]) == 0
}

// refusesAgain says the same where a connection of the same endpoints is known: its
// client lacks the SYN-ACK and has sent its SYN again, or has begun another one. A RST
// of the connection's own socket has the number that the socket has come to; should
// that be 0, a new connection shows by what it acknowledges.
func (p *packet) refusesAgain(s *gate.Slot) bool {
	mode := s.Mode()
	if mode != gate.ModeLive && mode != gate.ModeOpen && mode != gate.ModeFree {
		return false
	}
	var zero uint32
	if s.Flags()&gate.FlagXlate != 0 {
		zero = s.Delta()
	}
	if s.SndNxt() != zero {
		return true
	}
	_, closed := s.FIN()
	return mode == gate.ModeLive && closed && be.Uint32(p.tcp()[8:]) != s.Ack()
}

// newSYNACK says whether a SYN-ACK is of a connection that the client has begun
// in place of the slot's, or of a half-open one that the kernel has forgotten, rather
// than a retransmission of the slot's own socket.
func (p *packet) newSYNACK(s *gate.Slot) bool {
	switch mode := s.Mode(); {
	case mode == gate.ModeSpoof || mode == gate.ModeRoll:
		return true
	case s.Flags()&gate.FlagXlate != 0:
		return be.Uint32(p.tcp()[4:])+s.Delta()+1 != s.Base()
	}
	return be.Uint32(p.tcp()[8:]) != s.IRS()+1 || be.Uint32(p.tcp()[4:])+1 != s.SndNxt()
}

// answers says whether an RST answers a segment that no socket takes: it has that
// segment's own numbers, not those of a socket.
func (p *packet) answers() bool { return p.flags()&(flagSYN|flagACK|flagRST) == flagRST }

func (m *Model) holdSYNACK(p *packet, index uint32) Verdict {
	kind := gate.EventSYNACK
	if m.From != FromSocket {
		kind = gate.EventCookie
	}
	if !m.report(kind, index, p) && kind == gate.EventCookie && index == gate.NoSlot {
		return Pass
	}
	m.count.SYNACKHeld++
	return Held
}

// judged is struct segment in bpf/egress.h: what a segment says, and what it
// shall say.
type judged struct {
	seq, end           uint32
	ack, outAck, edge  uint32
	window, outWindow  uint16
	payload            uint32
	carries, stripSACK bool
	opt                fields
}

func (p *packet) read(s *gate.Slot) judged {
	h, flags := p.tcp(), p.flags()
	kernel, _ := s.Scales()
	j := judged{seq: be.Uint32(h[4:]), ack: be.Uint32(h[8:]), window: be.Uint16(h[14:])}
	if s.Flags()&gate.FlagXlate != 0 {
		j.seq += s.Delta()
	}
	j.payload = uint32(p.end - p.l4 - p.headerLen())
	j.end = j.seq + j.payload + uint32(flags&flagSYN)>>1 + uint32(flags&flagFIN)
	j.outAck, j.outWindow = j.ack, j.window
	j.edge = j.ack + uint32(j.window)<<(kernel&15)
	j.carries = j.payload > 0 || flags&(flagFIN|flagRST) != 0
	return j
}

func (m *Model) egressLive(p *packet, s *gate.Slot, index, priority uint32) Verdict {
	flags, previous := p.flags(), s.Ack()
	j := p.read(s)
	switch {
	case flags&flagSYN != 0:
		if flags&flagACK != 0 && (p.newSYNACK(s) || s.Flags()&gate.FlagXlate != 0) {
			return m.holdSYNACK(p, index)
		}
		return Pass
	case flags&flagRST != 0:
		kind := m.judgeRST(p, s, index, priority)
		if kind != endMeant && !m.openSlot(s) {
			if kind == endStray {
				m.report(gate.EventRSTHeld, index, p)
			}
			m.count.RSTHeld++
			return Held
		}
		if kind == endMeant {
			s.GateSide().Abort()
		}
		m.report(gate.EventRSTSent, index, p)
	case flags&flagFIN != 0:
		if !m.meantFIN(s, &j, index, priority) && !m.openSlot(s) {
			m.report(gate.EventFINHeld, index, p)
			m.count.FINHeld++
			return Held
		}
	}
	if s.Flags()&gate.FlagRecord != 0 && j.payload > 0 && !ended(s) {
		switch {
		case m.capture(gate.OutputSent, index, p, j.seq):
			m.count.Recorded++
		case !m.openSlot(s):
			return Held
		}
	}
	if _, passed := s.FIN(); !passed && flags&(flagFIN|flagRST) == flagFIN {
		s.SetFIN(j.end)
	}
	if s.Flags()&(gate.FlagTS|gate.FlagSACK) != 0 {
		j.opt = p.find()
	}
	p.record(s, &j)
	if flags&flagACK != 0 && ended(s) && s.Flags()&gate.FlagLasting == 0 {
		s.TakeHeld()
		m.fitWindow(s, &j, false)
	} else if flags&flagACK != 0 {
		if !m.judgeAck(p, s, &j, previous) {
			if _, passed := s.FIN(); passed || j.seq+1 != s.SndNxt() { // else it is a probe
				s.GateSide().CountBareACK()
			}
			m.count.AckHeld++
			return Held
		}
		if j.opt.sack != 0 && !m.judgeSACK(p, s, &j) {
			m.count.SACKHeld++
			return Held
		}
		if j.outAck != j.ack {
			m.count.AckLowered++
		}
		m.fitWindow(s, &j, true)
	}
	m.rewriteOut(p, s, &j)
	return Pass
}

// ended says whether the process has closed the connection, and means it: nobody
// will ever read what the client still sends, so nothing of it has to be logged.
func ended(s *gate.Slot) bool {
	return s.Flags()&gate.FlagUnmodified != 0 && s.Released() == gate.ReleasedClosed
}

// meantFIN says whether the application announced the FIN, or did not die of a
// crash if it announces nothing, or the FIN is a retransmission of one that was
// meant.
func (m *Model) meantFIN(s *gate.Slot, j *judged, index, priority uint32) bool {
	if end, passed := s.FIN(); passed && end == j.end {
		return true
	}
	switch {
	case s.Flags()&gate.FlagUnmodified == 0:
		return priority == gate.PrioClose || priority == gate.PrioShut
	case s.Released() == gate.ReleasedNo:
		return s.Noted() || m.unnotedEnd(s, index) == endMeant
	}
	return s.Released() == gate.ReleasedClosed
}

type endKind int

const (
	endStray endKind = iota
	endMeant
	endCrash
)

func (m *Model) judgeRST(p *packet, s *gate.Slot, index, priority uint32) endKind {
	switch {
	case s.Aborted(): // the client may have missed that one
		return endMeant
	case s.Flags()&gate.FlagUnmodified == 0:
		if priority == gate.PrioClose {
			return endMeant
		}
		return endStray
	case s.Released() == gate.ReleasedCrashed, p.flags()&flagACK == 0:
		return endStray
	case s.Released() == gate.ReleasedClosed, s.Noted():
		return endMeant
	}
	return m.unnotedEnd(s, index)
}

// unnotedEnd judges what ends a connection of whose release nothing is noted: there was
// none, or the program that notes releases had gone.
func (m *Model) unnotedEnd(s *gate.Slot, index uint32) endKind {
	switch {
	case m.Holder == HolderNone, m.Holder == HolderQueue && !m.Closing && !m.Task.crashing():
		return endStray
	case m.Holder != HolderOther && m.Task.crashing():
		m.crashed(s, index)
		return endCrash
	}
	return endMeant
}

func (m *Model) egressOpen(p *packet, s *gate.Slot) Verdict {
	if s.Flags()&gate.FlagXlate == 0 {
		return Pass
	}
	j := p.read(s)
	j.opt = p.find()
	p.record(s, &j)
	if p.flags()&flagSYN == 0 && p.flags()&flagACK != 0 {
		m.fitWindow(s, &j, false)
	}
	m.rewriteOut(p, s, &j)
	return Pass
}

func (m *Model) icmpOut(p *packet) Verdict {
	icmp := p.b[min(p.l4, len(p.b)):]
	unreachable, timeExceeded := byte(3), byte(11)
	if p.protocol == protoICMPv6 {
		unreachable, timeExceeded = 1, 3
	}
	if len(icmp) < 1 || icmp[0] != unreachable && icmp[0] != timeExceeded {
		return Pass
	}
	if s, _ := m.quoted(icmp, toServer); s == nil || s.Mode() == gate.ModeFree || m.isOpen(s) {
		return Pass
	}
	m.count.ICMPHeld++
	return Held
}
