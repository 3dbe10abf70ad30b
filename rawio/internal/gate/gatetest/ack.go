package gatetest

import "github.com/ftnet/ftnet/rawio/internal/gate"

// What the ACK number, the SACK blocks and the window of a segment say, what the slot
// keeps of that, and how they are lowered to what the log has.

// record notes what the kernel's newest segment says, unless it was overtaken by a later ACK.
func (p *packet) record(s *gate.Slot, j *judged) {
	if after(j.end, s.SndNxt()) {
		s.SetSndNxt(j.end)
	}
	if p.flags()&flagACK != 0 {
		if after(s.Ack(), j.ack) {
			return
		}
		s.SetAck(j.ack, j.edge)
	}
	if j.opt.ts != 0 {
		h := p.tcp()[j.opt.ts:]
		val := be.Uint32(h)
		if s.Flags()&gate.FlagXlate != 0 {
			val += s.TSDelta()
		}
		s.SetTS(val, be.Uint32(h[4:]))
	}
}

// judgeAck decides about the ACK number; false: hold the segment. The exchange
// of held and stable is described at Slot.
func (m *Model) judgeAck(p *packet, s *gate.Slot, j *judged, previous uint32) bool {
	stable := s.Stable()
	if !after(j.ack, stable) {
		if s.Held() && !after(previous, j.ack) {
			s.TakeHeld()
		}
		return true
	}
	if m.openSlot(s) {
		s.TakeHeld()
		return true
	}
	s.GateSide().Hold(p.flags() & flagECN)
	stable = s.Stable()
	if !after(j.ack, stable) {
		if s.TakeHeld() {
			return true
		}
	} else if j.carries {
		j.outAck = stable
	}
	return j.carries
}

func (m *Model) judgeSACK(p *packet, s *gate.Slot, j *judged) bool {
	high := s.High()
	top := high
	for i := range j.opt.blocks {
		if right := be.Uint32(p.tcp()[j.opt.sack+6+8*i:]); after(right, top) {
			top = right
		}
	}
	if top == high || m.isOpen(s) {
		return true
	}
	if j.carries {
		j.stripSACK = true
		return true
	}
	s.GateSide().Hold(p.flags() & flagECN)
	return !after(top, s.High()) && s.TakeHeld()
}

// fitWindow keeps the window's right edge where the kernel put it, or at the
// limit, in the scale that the client was told.
func (m *Model) fitWindow(s *gate.Slot, j *judged, limited bool) {
	kernel, client := s.Scales()
	edge := j.edge
	if limited && s.Flags()&gate.FlagLimit != 0 && after(edge, s.Limit()) && !m.isOpen(s) {
		edge = s.Limit()
		m.count.Limited++
	} else if j.outAck == j.ack && kernel == client {
		return
	}
	var room uint32
	if after(edge, j.outAck) {
		room = (edge - j.outAck) >> (client & 15)
	}
	j.outWindow = uint16(min(room, 65535))
}

func (m *Model) rewriteOut(p *packet, s *gate.Slot, j *judged) {
	const csum = 16
	h := p.tcp()
	put32(h, 4, j.seq, csum)
	put32(h, 8, j.outAck, csum)
	put16(h, 14, j.outWindow, csum)
	if j.opt.ts != 0 && s.Flags()&gate.FlagXlate != 0 {
		put32(h, j.opt.ts, be.Uint32(h[j.opt.ts:])+s.TSDelta(), csum)
	}
	if j.stripSACK {
		m.count.SACKRemoved++
		overwrite(h, j.opt.sack, 2+8*j.opt.blocks)
	}
}

// overwrite replaces n bytes of options by NOPs.
func overwrite(h []byte, at, n int) {
	old := append([]byte(nil), h[at:at+n]...)
	for i := range n {
		h[at+i] = 1
	}
	adjust(h, at, old, 16)
}
