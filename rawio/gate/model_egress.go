package gate

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
		m.count[statMalformed]++
		return Pass
	}
	synack := p.flags()&(flagSYN|flagACK) == flagSYN|flagACK
	s, index := m.lookup(p.flow)
	if index == proofSlot {
		m.report(EventProofOut, index, p)
		return Returned
	}
	if s == nil && m.From == FromElsewhere {
		return Pass
	}
	if s == nil && service.state == ServiceHold {
		m.count[statOutageOut]++
		return Held
	}
	if p.refusesSYN() && (s == nil || p.refusesAgain(s)) {
		if m.engineDead() {
			return m.passes()
		}
		m.report(EventRSTHeld, NoSlot, p)
		m.count[statRSTHeld]++
		return Held
	}
	if s == nil {
		switch {
		case !synack:
			return Pass
		case m.engineDead():
			return m.passes()
		}
		return m.holdSYNACK(p, NoSlot)
	}
	if s.Mode() == ModeFree {
		return Pass
	}
	s.egress.Add(1)
	mode := s.Mode()
	if synack && p.begins(s) && m.engineDead() {
		delete(m.conns, p.flow)
		return m.passes()
	}
	if p.fragment && (mode == ModeLive || mode == ModeOpen) {
		return m.unfollowed(p, s, index)
	}
	if p.flags()&flagURG != 0 && mode == ModeLive && !s.Opened() {
		m.unfollowed(p, s, index)
	}
	switch {
	case mode == ModeLive:
		return m.egressLive(p, s, index, priority)
	case mode == ModeOpen || mode == ModeOutage && m.letGo(s):
		return m.egressOpen(p, s)
	case mode != ModeOutage && p.answers() && m.letGo(s):
		return Pass
	case mode == ModeRoll:
		if m.capture(OutputRoll, index, p, be.Uint32(p.tcp()[4:])) {
			m.count[statRolled]++
		}
		return Held
	case mode == ModeSpoof && synack:
		return m.holdSYNACK(p, index)
	}
	m.count[statOutageOut]++
	return Held
}

// unfollowed notes that the server sends what the engine can't repeat or translate.
func (m *Model) unfollowed(p *packet, s *Slot, index uint32) Verdict {
	m.count[statUnfollowed]++
	m.report(EventUnfollowed, index, p)
	if p.fragment && s.Flags()&FlagXlate != 0 {
		return Held
	}
	why := OpenedUrgent
	if p.fragment {
		why = OpenedFragment
	}
	s.open(why)
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
func (p *packet) refusesAgain(s *Slot) bool {
	mode := s.Mode()
	if mode != ModeLive && mode != ModeOpen && mode != ModeFree {
		return false
	}
	var zero uint32
	if s.Flags()&FlagXlate != 0 {
		zero = s.Delta()
	}
	if s.SndNxt() != zero {
		return true
	}
	_, closed := s.FIN()
	return mode == ModeLive && closed && be.Uint32(p.tcp()[8:]) != s.Ack()
}

// begins says whether a SYN-ACK is that of a connection which the client has begun
// in place of the slot's, or of a half-open one that the kernel has forgotten, rather
// than one that the slot's own socket repeats.
func (p *packet) begins(s *Slot) bool {
	switch mode := s.Mode(); {
	case mode == ModeSpoof || mode == ModeRoll:
		return true
	case s.Flags()&FlagXlate != 0:
		return be.Uint32(p.tcp()[4:])+s.Delta()+1 != s.Base()
	}
	return be.Uint32(p.tcp()[8:]) != s.IRS()+1 || be.Uint32(p.tcp()[4:])+1 != s.SndNxt()
}

// answers says whether an RST answers a segment that no socket takes: it has that
// segment's own numbers, not those of a socket.
func (p *packet) answers() bool { return p.flags()&(flagSYN|flagACK|flagRST) == flagRST }

func (m *Model) holdSYNACK(p *packet, index uint32) Verdict {
	kind := EventSYNACK
	if m.From != FromSocket {
		kind = EventCookie
	}
	if !m.report(kind, index, p) && kind == EventCookie && index == NoSlot {
		return Pass
	}
	m.count[statSYNACKHeld]++
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

func (p *packet) read(s *Slot) judged {
	h, flags := p.tcp(), p.flags()
	kernel, _ := s.Scales()
	j := judged{seq: be.Uint32(h[4:]), ack: be.Uint32(h[8:]), window: be.Uint16(h[14:])}
	if s.Flags()&FlagXlate != 0 {
		j.seq += s.Delta()
	}
	j.payload = uint32(p.end - p.l4 - p.headerLen())
	j.end = j.seq + j.payload + uint32(flags&flagSYN)>>1 + uint32(flags&flagFIN)
	j.outAck, j.outWindow = j.ack, j.window
	j.edge = j.ack + uint32(j.window)<<(kernel&15)
	j.carries = j.payload > 0 || flags&(flagFIN|flagRST) != 0
	return j
}

func (m *Model) egressLive(p *packet, s *Slot, index, priority uint32) Verdict {
	flags, previous := p.flags(), s.Ack()
	j := p.read(s)
	switch {
	case flags&flagSYN != 0:
		if flags&flagACK != 0 && (p.begins(s) || s.Flags()&FlagXlate != 0) {
			return m.holdSYNACK(p, index)
		}
		return Pass
	case flags&flagRST != 0:
		kind := m.judgeRST(p, s, index, priority)
		if kind != endMeant && !m.letGo(s) {
			if kind == endStray {
				m.report(EventRSTHeld, index, p)
			}
			m.count[statRSTHeld]++
			return Held
		}
		if kind == endMeant {
			s.fin.Or(finRST)
		}
		m.report(EventRSTSent, index, p)
	case flags&flagFIN != 0:
		if !m.meantFIN(s, &j, index, priority) && !m.letGo(s) {
			m.report(EventFINHeld, index, p)
			m.count[statFINHeld]++
			return Held
		}
	}
	if s.Flags()&FlagRecord != 0 && j.payload > 0 && !s.ended() {
		switch {
		case m.capture(OutputSent, index, p, j.seq):
			m.count[statRecorded]++
		case !m.letGo(s):
			return Held
		}
	}
	if _, passed := s.FIN(); !passed && flags&(flagFIN|flagRST) == flagFIN {
		s.SetFIN(j.end)
	}
	if s.Flags()&(FlagTS|FlagSACK) != 0 {
		j.opt = p.find()
	}
	p.record(s, &j)
	if flags&flagACK != 0 && s.ended() && s.Flags()&FlagLasting == 0 {
		s.TakeHeld()
		m.fitWindow(s, &j, false)
	} else if flags&flagACK != 0 {
		if !m.judgeAck(p, s, &j, previous) {
			if _, passed := s.FIN(); passed || j.seq+1 != s.SndNxt() { // else it is a probe
				s.hflags.Add(bareACK)
			}
			m.count[statAckHeld]++
			return Held
		}
		if j.opt.sack != 0 && !m.judgeSACK(p, s, &j) {
			m.count[statSACKHeld]++
			return Held
		}
		if j.outAck != j.ack {
			m.count[statAckLowered]++
		}
		m.fitWindow(s, &j, true)
	}
	m.rewriteOut(p, s, &j)
	return Pass
}

// ended says whether the process has closed the connection, and means it: nobody
// will ever read what the client still sends, so nothing of it has to be logged.
func (s *Slot) ended() bool {
	return s.Flags()&FlagUnmodified != 0 && s.Released() == ReleasedClosed
}

// meantFIN says whether the application announced the FIN, or did not die of a
// crash if it announces nothing, or the FIN is a retransmission of one that was
// meant.
func (m *Model) meantFIN(s *Slot, j *judged, index, priority uint32) bool {
	if end, passed := s.FIN(); passed && end == j.end {
		return true
	}
	switch {
	case s.Flags()&FlagUnmodified == 0:
		return priority == PrioClose || priority == PrioShut
	case s.Released() == ReleasedNo:
		return s.Noted() || m.unnotedEnd(s, index) == endMeant
	}
	return s.Released() == ReleasedClosed
}

type endKind int

const (
	endStray endKind = iota
	endMeant
	endCrash
)

func (m *Model) judgeRST(p *packet, s *Slot, index, priority uint32) endKind {
	switch {
	case s.Aborted(): // the client may have missed that one
		return endMeant
	case s.Flags()&FlagUnmodified == 0:
		if priority == PrioClose {
			return endMeant
		}
		return endStray
	case s.Released() == ReleasedCrashed, p.flags()&flagACK == 0:
		return endStray
	case s.Released() == ReleasedClosed, s.Noted():
		return endMeant
	}
	return m.unnotedEnd(s, index)
}

// unnotedEnd judges what ends a connection of whose release nothing is noted: there was
// none, or the program that notes releases had gone.
func (m *Model) unnotedEnd(s *Slot, index uint32) endKind {
	switch {
	case m.Holder == HolderNone, m.Holder == HolderQueue && !m.Closing && !m.Task.crashing():
		return endStray
	case m.Holder != HolderOther && m.Task.crashing():
		m.crashed(s, index)
		return endCrash
	}
	return endMeant
}

func (m *Model) egressOpen(p *packet, s *Slot) Verdict {
	if s.Flags()&FlagXlate == 0 {
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
	if s, _ := m.quoted(icmp, toServer); s == nil || s.Mode() == ModeFree || m.opens(s) {
		return Pass
	}
	m.count[statICMPHeld]++
	return Held
}
