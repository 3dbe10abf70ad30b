package gatetest

import "github.com/ftnet/ftnet/rawio/internal/gate"

// Ingress judges a packet that arrives, given its mark at the interface, and rewrites it in
// place. pkt begins at the IP header.
func (m *Model) Ingress(pkt []byte, mark uint32) Verdict {
	p, ok := parseIP(pkt)
	if m.marked(mark) || !ok {
		return Pass
	}
	switch {
	case p.protocol == protoTCP:
		return m.ingressTCP(&p)
	case p.fragment:
	case p.protocol == protoICMP, p.protocol == protoICMPv6:
		m.icmpIn(&p)
	}
	return Pass
}

func (m *Model) ingressTCP(p *packet) Verdict {
	if len(p.b) < p.l4+tcpHeader {
		return m.shortFragment(p)
	}
	p.ports(p.tcp(), toServer)
	service, ok := m.services[p.flow.Server.Port()]
	if !ok {
		return Pass
	}
	if !p.valid() {
		if p.fragment {
			return m.shortFragment(p)
		}
		m.count.Malformed++
		return Pass
	}
	if p.flags()&(flagSYN|flagACK) == flagSYN && m.ingressSYN(p, service.state) == Held {
		return Held
	}
	s, index := m.lookup(p.flow)
	if index == gate.ProofSlot {
		m.report(gate.EventProofIn, index, p)
		return Held
	}
	if s == nil && service.state == gate.ServiceHold {
		m.count.OutageIn++
		return Held
	}
	if s == nil {
		return Pass
	}
	switch mode := s.Mode(); {
	case mode == gate.ModeOutage || mode == gate.ModeSpoof || mode == gate.ModeRoll:
		if !m.isOpen(s) {
			s.GateSide().CountHeldIn()
			m.count.OutageIn++
			return Held
		}
		if mode == gate.ModeOutage && s.Flags()&gate.FlagXlate != 0 && p.flags()&flagACK != 0 {
			m.translateIn(p, s)
		}
	case mode == gate.ModeLive && p.isRetransmission(s) && !m.isOpen(s):
		m.count.OutageIn++
		return Held
	case mode != gate.ModeFree && s.Flags()&gate.FlagXlate != 0 && p.flags()&flagACK != 0:
		m.translateIn(p, s)
	}
	return Pass
}

// isRetransmission says whether the client retransmits what the kernel has received in a connection that
// the server has closed, and that began with a SYN cookie. If its process has crashed, any segment
// may be the first one.
func (p *packet) isRetransmission(s *gate.Slot) bool {
	if p.fragment || s.Flags()&gate.FlagCookie == 0 || p.flags()&(flagSYN|flagRST) != 0 {
		return false
	}
	if s.Released() == gate.ReleasedCrashed {
		return true
	}
	seq := be.Uint32(p.tcp()[4:])
	if _, closed := s.FIN(); !closed || !after(s.Ack(), seq) {
		return false
	}
	return !after(seq+uint32(p.end-p.l4-p.headerLen())+uint32(p.flags()&flagFIN), s.Ack())
}

// shortFragment judges a first fragment without a whole TCP header, which can't be
// translated, and any other packet of that kind, which is nobody's.
func (m *Model) shortFragment(p *packet) Verdict {
	if !p.fragment || len(p.b) < p.l4+4 {
		return Pass
	}
	if _, ok := m.services[be.Uint16(p.tcp()[2:])]; !ok {
		return Pass
	}
	m.count.ShortFragment++
	return Held
}

func (m *Model) ingressSYN(p *packet, state gate.ServiceState) Verdict {
	strip, refused := screenSYN(p.options())
	if refused {
		m.report(gate.EventRefused, gate.NoSlot, p)
		m.count.SYNRefused++
		return Held
	}
	for _, o := range strip {
		overwrite(p.tcp(), tcpHeader+o[0], o[1])
	}
	const flags, ae = 12, 0x100 // Accurate ECN (RFC 9768): what is left offers ECN
	put16(p.tcp(), flags, be.Uint16(p.tcp()[flags:])&^ae, 16)
	if len(strip) > 0 {
		m.count.SYNStripped++
	}
	if state == gate.ServiceHold || state == gate.ServiceOutage && !m.engineDead() {
		m.count.SYNHeld++
		return Held
	}
	return Pass
}

// screenSYN returns the offset and length of each option that a protected
// connection cannot have, or that one of them makes the SYN refused.
func screenSYN(opt []byte) (strip [][2]int, refused bool) {
	for i := 0; i < len(opt); {
		n := nextOption(opt, i)
		if n == 0 {
			break
		}
		switch opt[i] {
		case 19, 29: // TCP-MD5 (RFC 2385), TCP-AO (RFC 5925)
			return nil, true
		case 30, 34, 254: // MPTCP (RFC 8684), Fast Open (RFC 7413) and its experiment
			strip = append(strip, [2]int{i, n})
		}
		i += n
	}
	return strip, false
}

func (m *Model) translateIn(p *packet, s *gate.Slot) {
	const csum = 16
	h := p.tcp()
	ack := be.Uint32(h[8:])
	if after(ack, s.SndNxt()) {
		ack = s.SndNxt()
		m.count.AckClamped++
	}
	if after(s.Base(), ack) {
		ack = s.Base()
		m.count.AckClamped++
	}
	put32(h, 8, ack-s.Delta(), csum)
	if s.Flags()&(gate.FlagTS|gate.FlagSACK) == 0 {
		return
	}
	opt := p.find()
	if opt.ts != 0 {
		// TSecr 0 echoes nothing.
		if ecr := be.Uint32(h[opt.ts+4:]); ecr != 0 {
			put32(h, opt.ts+4, ecr-s.TSDelta(), csum)
		}
	}
	for i := range 2 * opt.blocks {
		at := opt.sack + 2 + 4*i
		put32(h, at, be.Uint32(h[at:])-s.Delta(), csum)
	}
}

// icmpIn translates the sequence number quoted in a path-MTU report.
func (m *Model) icmpIn(p *packet) {
	icmp := p.b[min(p.l4, len(p.b)):]
	if len(icmp) < 2 {
		return
	}
	if p.protocol == protoICMP && (icmp[0] != 3 || icmp[1] != 4) ||
		p.protocol == protoICMPv6 && icmp[0] != 2 {
		return
	}
	s, tcp := m.quoted(icmp, toClient)
	if s == nil || s.Flags()&gate.FlagXlate == 0 || s.Delta() == 0 {
		return
	}
	if mode := s.Mode(); mode != gate.ModeLive && mode != gate.ModeOpen {
		return
	}
	at := len(icmp) - len(tcp) + 4
	put32(icmp, at, be.Uint32(icmp[at:])-s.Delta(), 2)
	m.count.ICMPFixed++
}
