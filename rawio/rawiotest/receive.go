package rawiotest

import (
	"bytes"

	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/segment"
)

// piece is received data that does not follow on yet.
type piece struct {
	seq  uint32
	data []byte
	fin  bool
}

func (p piece) end() uint32 {
	n := p.seq + uint32(len(p.data))
	if p.fin {
		n++
	}
	return n
}

// takeData queues payload and FIN (tcp_data_queue). It reports whether the
// socket still exists.
func (s *Socket) takeData(p *Packet) bool {
	in := piece{p.Seq, p.Payload, p.Flags.Has(segment.FIN)}
	if p.Len() == 0 {
		return true
	}
	dataEnd := p.Seq + uint32(len(p.Payload))
	if s.orphan && len(p.Payload) > 0 && seqnum.Less(s.rcvNxt, dataEnd) {
		// RFC 1122, section 4.2.2.13: nobody will read this.
		s.stack.refuse(p, s.priority)
		s.remove(ErrReset)
		return false
	}
	s.ackNow = s.ackNow || in.fin || len(in.data) > s.mss || in.seq != s.rcvNxt || len(s.outOfOrder) > 0
	switch window := s.window(); {
	case s.finIn || seqnum.LEQ(in.end(), s.rcvNxt):
		s.ackNow = true // sent again: our ACK was lost
	case window == 0 && len(in.data) > 0, window > 0 && !seqnum.Less(in.seq, s.rcvNxt+window):
		s.ackNow = true // out of window
	case seqnum.LEQ(in.seq, s.rcvNxt):
		s.append(in)
		s.fillGaps()
		s.notify()
	default:
		s.keep(in)
	}
	if !s.ackNow && !s.delayed.Pending() {
		s.delayed = s.stack.clock.After(s.stack.config.DelayedACK, func() {
			defer s.stack.enter()()
			s.sendACK()
		})
	} else if seqnum.Diff(s.rcvNxt, s.rcvWup) > int32(s.mss) {
		s.ackNow = true // every second segment, RFC 9293, section 3.8.6.3
	}
	return true
}

// append takes a piece that begins at or below rcvNxt and ends above it.
func (s *Socket) append(in piece) {
	in.data = in.data[min(len(in.data), int(s.rcvNxt-in.seq)):]
	s.queue = append(s.queue, in.data...)
	s.rcvNxt += uint32(len(in.data))
	if !in.fin {
		return
	}
	s.rcvNxt++
	s.finIn, s.ackNow = true, true
	switch s.state {
	case Established:
		s.state = CloseWait
	case FinWait1:
		s.state = Closing // our FIN is not acknowledged: takeACK came first
	case FinWait2:
		s.timeWait()
	}
}

func (s *Socket) fillGaps() {
	for len(s.outOfOrder) > 0 && !s.finIn && seqnum.LEQ(s.outOfOrder[0].seq, s.rcvNxt) {
		next := s.outOfOrder[0]
		s.outOfOrder = s.outOfOrder[1:]
		if seqnum.Less(s.rcvNxt, next.end()) {
			s.append(next)
		}
	}
}

// keep stores a piece above a gap, sorted; overlaps are sorted out when the
// gap closes.
func (s *Socket) keep(in piece) {
	in.data = bytes.Clone(in.data)
	i := 0
	for i < len(s.outOfOrder) && seqnum.LEQ(s.outOfOrder[i].seq, in.seq) {
		if s.outOfOrder[i].seq == in.seq && seqnum.LEQ(in.end(), s.outOfOrder[i].end()) {
			return // a copy
		}
		i++
	}
	s.outOfOrder = append(s.outOfOrder, piece{})
	copy(s.outOfOrder[i+1:], s.outOfOrder[i:])
	s.outOfOrder[i] = in
}

// blocks returns the SACK blocks that describe the out-of-order queue.
func (s *Socket) blocks() ranges {
	var r ranges
	for _, p := range s.outOfOrder {
		r.add(p.seq, p.end())
	}
	return r
}

// window is what is left of the window that was advertised last
// (tcp_receive_window).
func (s *Socket) window() uint32 {
	edge := s.rcvWup + s.rcvWnd
	if seqnum.Less(edge, s.rcvNxt) {
		return 0
	}
	return edge - s.rcvNxt
}

// freeWindow is the window that the buffer has room for, without the sillies
// (RFC 9293, section 3.8.6.2.2) and in units of the scale.
func (s *Socket) freeWindow() uint32 {
	buffer := s.stack.config.ReceiveBuffer
	free := max(0, buffer-len(s.queue))
	if free < min(s.mss, buffer/2) {
		free = 0
	}
	return uint32(min(free, 65535<<s.rcvScale)) >> s.rcvScale << s.rcvScale
}

// chooseWindow is tcp_select_window: the right edge never moves left.
func (s *Socket) chooseWindow() uint16 {
	unit := uint32(1) << s.rcvScale
	window := max(s.freeWindow(), (s.window()+unit-1)/unit*unit)
	window = min(window, 65535<<s.rcvScale)
	s.rcvWup, s.rcvWnd = s.rcvNxt, window
	return uint16(window >> s.rcvScale)
}

// windowMayOpen tells the peer of room after a read (tcp_cleanup_rbuf).
func (s *Socket) windowMayOpen() {
	switch s.state {
	case Established, FinWait1, FinWait2:
		now := s.window()
		if free := s.freeWindow(); free > now && free >= 2*now {
			s.sendACK()
		}
	}
}

// acknowledge sends the ACK that is due, if no segment has carried it.
func (s *Socket) acknowledge() {
	if s.ackNow && s.state != Closed {
		s.sendACK()
	}
}
