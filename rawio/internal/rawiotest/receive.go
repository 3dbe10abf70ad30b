package rawiotest

import (
	"bytes"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
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
	if s.ecn && len(p.Payload) > 0 { // tcp_data_ecn_check, tcp_ecn_accept_cwr
		if p.Flags.Has(segment.CWR) {
			s.echoCE = false
		}
		if p.TOS&ce == ce && !s.echoCE {
			s.echoCE, s.quick, s.pingPong = true, max(s.quick, 2), false
		}
	}
	switch window := s.window(); {
	case (s.state == CloseWait || s.state == Closing || s.state == LastAck) && !seqnum.Less(in.seq, s.rcvNxt):
		// Nothing can follow a FIN.
	case seqnum.LEQ(in.end(), s.rcvNxt):
		s.reportDuplicate(in.seq, in.end()) // sent again: our ACK was lost
		s.answerQuickly()
	case window == 0 && len(in.data) > 0, window > 0 && !seqnum.Less(in.seq, s.rcvNxt+window):
		s.answerQuickly() // out of window
	case seqnum.LEQ(in.seq, s.rcvNxt):
		if seqnum.Less(in.seq, s.rcvNxt) {
			s.reportDuplicate(in.seq, s.rcvNxt)
			s.ackNow = true
		}
		s.ackNow = s.ackNow || len(s.outOfOrder) > 0
		s.append(in)
		s.fillGaps()
		s.scheduleACK()
		s.notify()
	default:
		s.keep(in)
		s.ackNow = true
	}
	return true
}

// quickACKs is how many ACKs are sent at once before delaying begins
// (TCP_MAX_QUICKACKS).
const quickACKs = 16

// answerQuickly is tcp_enter_quickack_mode, with an ACK that is due.
func (s *Socket) answerQuickly() {
	s.quick, s.pingPong, s.ackNow = quickACKs, false, true
}

// scheduleACK acknowledges in-order data at once or later (__tcp_ack_snd_check;
// RFC 9293, section 3.8.6.3: at least every second segment).
func (s *Socket) scheduleACK() {
	s.lastData = s.stack.clock.Now()
	if s.quick > 0 && !s.pingPong || seqnum.Diff(s.rcvNxt, s.rcvWup) > int32(s.mss) {
		s.ackNow = true
	}
	if !s.ackNow && !s.delayed.Pending() {
		s.delayed = s.stack.clock.After(s.stack.config.DelayedACK, func() {
			defer s.stack.enter()()
			s.sendACK()
		})
	}
}

func (s *Socket) reportDuplicate(left, right uint32) {
	s.duplicate = segment.Block{Left: left, Right: right}
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
	s.finIn = true
	switch s.state { // tcp_fin
	case Established:
		s.state = CloseWait
		s.pingPong = true
	case FinWait1:
		s.state = Closing // our FIN is not acknowledged: takeACK came first
		s.ackNow = true
	case FinWait2:
		s.timeWait()
		s.ackNow = true
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
	held := s.held()
	if b, inside, _ := held.holding(in.seq); inside && seqnum.LEQ(in.end(), b.Right) {
		s.reportDuplicate(in.seq, in.end())
		return
	}
	in.data = bytes.Clone(in.data)
	i := 0
	for i < len(s.outOfOrder) && seqnum.LEQ(s.outOfOrder[i].seq, in.seq) {
		i++
	}
	s.outOfOrder = append(s.outOfOrder, piece{})
	copy(s.outOfOrder[i+1:], s.outOfOrder[i:])
	s.outOfOrder[i] = in

	held.add(in.seq, in.end())
	newest, _, _ := held.holding(in.seq)
	list := ranges{newest}
	for _, b := range s.reported {
		if !seqnum.LEQ(newest.Left, b.Left) || !seqnum.LEQ(b.Right, newest.Right) {
			list = append(list, b)
		}
	}
	s.reported = list[:min(len(list), 4)]
}

// held returns the ranges of the out-of-order queue.
func (s *Socket) held() (r ranges) {
	for _, p := range s.outOfOrder {
		r.add(p.seq, p.end())
	}
	return r
}

// blocks returns the SACK blocks of the next ACK: what came twice, then what
// is above gaps, newest first (RFC 2018, section 4; RFC 2883).
func (s *Socket) blocks() (list ranges) {
	if s.duplicate != (segment.Block{}) {
		list = append(list, s.duplicate)
		s.duplicate = segment.Block{}
	}
	for _, b := range s.reported {
		if seqnum.Less(s.rcvNxt, b.Left) {
			list = append(list, b)
		}
	}
	return list
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
