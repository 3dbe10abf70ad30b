package rawiotest

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// takeSYN negotiates the options of the peer's SYN or SYN-ACK.
func (s *Socket) takeSYN(p *Packet) {
	c := &s.stack.config
	active := s.state == SynSent
	s.irs, s.rcvNxt, s.rcvWup = p.Seq, p.Seq+1, p.Seq+1
	s.timestamps = p.Options.HasTS && !c.NoTimestamps
	s.sack = p.Options.SACKPermitted && !c.NoSACK
	const both = segment.ECE | segment.CWR // RFC 3168, section 6.1.1
	if active && p.Flags.Has(segment.ACK) {
		s.ecn = c.ECN && p.Flags&both == segment.ECE
	} else {
		s.ecn = !c.NoECN && p.Flags.Has(both)
	}
	if p.Options.HasWScale && !c.NoWScale {
		s.scaling, s.sndScale, s.rcvScale = true, p.Options.WScale, c.WScale
	}
	if s.timestamps {
		s.tsRecent = p.Options.TSVal
	}
	mss := 536 // RFC 9293, section 3.7.1
	if p.Options.MSS != 0 {
		mss = int(p.Options.MSS)
	}
	s.mss = min(mss, int(c.MSS))
	if s.timestamps {
		s.mss -= 12
	}
	s.cwnd = 10 * s.mss // RFC 6928
	s.sndWnd = uint32(p.Window)
	s.maxWnd, s.sndWl1 = s.sndWnd, p.Seq
	if active && p.Flags.Has(segment.ACK) {
		s.sndUna = p.Ack
	}
}

// sendSYN sends the SYN or, once the peer's is known, the SYN-ACK.
func (s *Socket) sendSYN() {
	c := &s.stack.config
	flags := segment.SYN
	if s.state != SynSent {
		flags |= segment.ACK
	}
	switch {
	case s.state == SynSent && c.ECN:
		flags |= segment.ECE | segment.CWR
	case s.state != SynSent && s.ecn:
		flags |= segment.ECE
	}
	first := s.state == SynSent
	p := s.packet(flags, s.iss)
	p.Window = uint16(min(s.rcvWnd, 65535)) // never scaled
	o := &p.Options
	o.MSS = c.MSS
	o.HasWScale = first && !c.NoWScale || !first && s.scaling
	if o.HasWScale {
		o.WScale = c.WScale
	}
	o.SACKPermitted = first && !c.NoSACK || !first && s.sack
	if first && !c.NoTimestamps {
		o.HasTS, o.TSVal = true, s.tsNow()
	}
	if s.tsLast = p.Options.TSVal; s.tsFirst == 0 { // and not in answers to copies of the SYN (tcp_synack_options)
		s.tsFirst = s.tsLast
	}
	s.sndNxt = s.iss + 1
	s.rtxNext, s.rtxHigh, s.recover = s.sndNxt, s.sndNxt, s.sndNxt
	s.stack.config.Output(p)
}

// establish takes the peer's ACK of our SYN.
func (s *Socket) establish(p *Packet) {
	s.state = Established
	s.sndUna = s.iss + 1
	s.reduced = s.sndUna
	s.rtxNext, s.rtxHigh, s.recover = s.sndUna, s.sndUna, s.sndUna
	s.sndWnd = uint32(p.Window) << s.sndScale
	s.maxWnd, s.sndWl1 = max(s.maxWnd, s.sndWnd), p.Seq
	s.backoff, s.attempts = 0, 0
	s.retransmit.Stop()
	s.notify()
}

// inputSynSent is tcp_rcv_synsent_state_process.
func (s *Socket) inputSynSent(p *Packet) {
	if p.Flags.Has(segment.ACK) {
		if p.Ack != s.iss+1 {
			s.stack.refuse(p, s.priority)
			return
		}
		o := &p.Options
		if o.HasTS && o.TSEcr != 0 && seqnum.Less(s.tsNow(), o.TSEcr) {
			s.stack.refuse(p, s.priority) // an echo of what was never sent
			return
		}
		if p.Flags.Has(segment.RST) {
			s.remove(ErrRefused)
			return
		}
	}
	if p.Flags.Has(segment.RST) || !p.Flags.Has(segment.SYN) {
		return
	}
	s.takeSYN(p)
	if !p.Flags.Has(segment.ACK) { // simultaneous open
		s.state = SynReceived
		s.sendSYN()
		return
	}
	s.establish(p)
	s.lastIn = s.stack.clock.Now()
	s.startKeepAlive()
	s.sndWnd = uint32(p.Window) // the SYN-ACK's is not scaled
	s.maxWnd = s.sndWnd
	s.sendACK()
}
