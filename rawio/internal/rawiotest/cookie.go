package rawiotest

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

// Cookies is net.ipv4.tcp_syncookies.
type Cookies uint8

// The choices.
const (
	CookiesWhenFull Cookies = iota // of half-open connections
	CookiesAlways
)

// cookieLife is how long a listener believes in cookies after it has sent one
// (tcp_synq_no_recent_overflow), and how long one is valid.
const cookieLife = 2 * time.Minute

// cookieMSS are the values that a cookie's two lowest bits stand for (msstab).
var cookieMSS = [4]uint16{536, 1300, 1440, 1460}

// What the lowest six bits of a cookie's timestamp say (net/ipv4/syncookies.c).
const (
	cookieScale   = 15 // all of them set: no scaling
	cookieSACK    = 1 << 4
	cookieECN     = 1 << 5
	cookieOptions = 1<<6 - 1
)

// wantsCookie is inet_csk_reqsk_queue_is_full.
func (l *Listener) wantsCookie() bool {
	return l.stack.config.Cookies == CookiesAlways || l.halfOpen() > l.stack.config.Backlog
}

// cookie is the ISN that says that this stack has answered a SYN of that number, without
// its two lowest bits.
func (st *Stack) cookie(p *Packet, irs uint32) uint32 {
	h := fnv.New32a()
	b := binary.LittleEndian.AppendUint64(nil, st.secret)
	b = binary.LittleEndian.AppendUint32(b, irs)
	_, _ = h.Write(append(b, p.Src.String()+p.Dst.String()...)) // cannot fail
	return h.Sum32() &^ 3
}

// cookieOffset is the offset of the timestamps of a pair of endpoints, which the
// socket has as well that the third ACK makes.
func (st *Stack) cookieOffset(p *Packet) uint32 { return st.cookie(p, 0) << 7 }

// sendCookie answers a SYN and keeps nothing of it (cookie_v4_init_sequence).
func (l *Listener) sendCookie(p *Packet) {
	st := l.stack
	l.overflow = max(st.clock.Now(), 1)
	// A socket makes the answer, and is forgotten.
	s := st.newSocket(p.Dst, p.Src, 0)
	defer delete(st.sockets, endpoints{p.Dst, p.Src})
	s.priority, s.state = l.Priority, SynReceived
	index := uint32(0)
	for i, mss := range cookieMSS {
		if mss <= p.Options.MSS {
			index = uint32(i)
		}
	}
	s.iss = st.cookie(p, p.Seq) + index
	s.takeSYN(p)
	s.tsOffset = st.cookieOffset(p)
	if !s.timestamps {
		s.scaling, s.sack, s.ecn = false, false, false
	}
	output := st.config.Output
	defer func() { st.config.Output = output }()
	st.config.Output = func(a *Packet) {
		a.NoSocket = true
		if a.Options.HasTS {
			a.Options.TSVal = s.cookieTime(a.Options.TSVal)
		}
		output(a)
	}
	s.sendSYN()
}

// cookieTime is cookie_init_timestamp: never later than now.
func (s *Socket) cookieTime(now uint32) uint32 {
	bits := uint32(cookieScale)
	if s.scaling {
		bits = uint32(s.sndScale)
	}
	if s.sack {
		bits |= cookieSACK
	}
	if s.ecn {
		bits |= cookieECN
	}
	now -= s.tsOffset
	ts := now&^cookieOptions | bits
	if ts > now {
		ts -= cookieOptions + 1
	}
	return ts + s.tsOffset
}

// mayBeCookie is cookie_v4_check, without what it makes.
func (l *Listener) mayBeCookie(p *Packet) bool {
	return !p.Flags.Has(segment.SYN) && l.overflow > 0 && l.stack.clock.Now()-l.overflow < cookieLife &&
		l.stack.cookie(p, p.Seq-1) == (p.Ack-1)&^3
}

// openByCookie makes the connection of which only the third ACK tells.
func (l *Listener) openByCookie(p *Packet) {
	if l.full() {
		return
	}
	st, options := l.stack, uint32(cookieScale)
	offset := st.cookieOffset(p)
	if p.Options.HasTS {
		options = (p.Options.TSEcr - offset) & cookieOptions
	}
	syn := &Packet{Segment: segment.Segment{Src: p.Src, Dst: p.Dst, Seq: p.Seq - 1, Flags: segment.SYN, Window: p.Window}}
	o := &syn.Options
	o.MSS = cookieMSS[(p.Ack-1)&3]
	o.HasTS, o.TSVal = p.Options.HasTS, p.Options.TSVal
	o.SACKPermitted = options&cookieSACK != 0
	if scale := options & cookieScale; scale != cookieScale {
		o.HasWScale, o.WScale = true, uint8(min(scale, 14))
	}
	if options&cookieECN != 0 {
		syn.Flags |= segment.ECE | segment.CWR
	}
	s := st.newSocket(p.Dst, p.Src, p.Ack-1)
	s.priority, s.state = l.Priority, SynReceived
	s.takeSYN(syn)
	s.tsOffset = offset
	s.sndNxt = s.iss + 1
	if edge := s.rcvNxt + s.rcvWnd; !inWindow(p.Seq, p.End(), s.rcvNxt, edge) || seqnum.Less(s.rcvNxt, p.Seq) {
		delete(st.sockets, endpoints{p.Dst, p.Src})
		return
	}
	l.take(s, p)
}
