package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

const (
	// firstRetry and lastRetry are the first and the longest retransmission time-out of a spoofed
	// SYN, ns; it doubles. The stack drops SYNs while the server's accept queue is full.
	firstRetry = 20e6
	lastRetry  = 250e6
	// restartAfter is the number of SYNs after which a handshake begins anew, behind the data that
	// the client has sent meanwhile.
	restartAfter = 4
	// reconnectTimeout is how long the restarted server may take to open a connection, ns.
	reconnectTimeout = 60e9
)

// reconnect begins the spoofed handshake. From here on the client's segments
// are kept aside, so that the log, the kernel's next number and what the
// server will read from the log agree.
func (m *Machine) reconnect(c *Conn) {
	m.noteSndNxt(c) // once more: a packet may have been on its way out
	if !m.becomeReconnecting(c) {
		return
	}
	x := c.extra
	x.since, x.recoverAt, x.notBefore, x.halfOpen, x.cookieUnfit = m.now, 0, 0, false, false
}

// spoofWhenStable sends the SYN once all that was logged is stable.
func (m *Machine) spoofWhenStable(c *Conn) {
	x := c.extra
	if m.now < x.notBefore {
		return
	}
	if c.wire != nil && x.tries == 0 {
		c.resume, x.began = c.start().In, m.now
		m.probeClient(c)
		m.spoof(c)
		return
	}
	if x.tries > 0 || c.behindLog() {
		return
	}
	c.resume, x.began = c.stable, m.now
	m.spoof(c)
}

// retry deals with a spoofed SYN that was not answered in time.
func (m *Machine) retry(c *Conn) {
	x := c.extra
	switch {
	case m.now-x.since >= reconnectTimeout:
		m.reset(c, whyNotTaken)
	case x.tries >= restartAfter && x.cookieUnfit && !x.requeued && len(c.svc.queue) > 0:
		m.requeue(c)
	case x.tries >= restartAfter && len(x.deferred) > 0: // not for unmodified servers
		// The client must not wait so long for its acknowledgments.
		m.becomeOutage(c)
		if m.receiveDeferred(c); c.state != Outage {
			m.handshakeDone(c)
			return
		}
		m.becomeReconnecting(c)
	default:
		m.spoof(c)
	}
}

// requeue moves a connection to the end of the queue, once in a recovery. The listener's queue may be
// full of half-open sockets of other connections, made by SYNs of the core that reached the kernel
// when those connections were in Outage again. Only connections that have such a socket can be opened
// then, and each of them makes room.
func (m *Machine) requeue(c *Conn) {
	m.becomeOutage(c)
	if m.receiveDeferred(c); c.state == Outage {
		c.extra.requeued = true
		c.svc.queue = append(c.svc.queue, c)
	}
	m.handshakeDone(c)
}

// spoof sends a SYN in the client's name: the options are those that were agreed to, the sequence
// number makes the stack expect the byte after the last stable one, and the timestamp is not older
// than those that the client has sent.
func (m *Machine) spoof(c *Conn) {
	x := c.extra
	s := m.asClient(c)
	s.Seq = c.irs + uint32(c.resume)
	s.Flags = c.synFlags
	s.Window = c.synWindow
	s.Options.MSS = c.client.mss
	// What was not agreed, because a SYN cookie had no room for it, must not be now.
	s.Options.SACKPermitted = c.server.sack()
	s.Options.HasWScale, s.Options.WScale = c.server.hasWS(), c.client.wscale
	s.Options.HasTS, s.Options.TSEcr = c.server.ts(), 0
	if c.is(byCookie) && !c.server.ecn() {
		s.Flags = segment.SYN
	}
	delay := min(int64(firstRetry)<<min(x.tries, 10), lastRetry)
	x.tries++
	x.retryAt = m.now + delay
	m.net.ToServer(s)
}

// asClient starts a segment from the client to the local stack.
func (m *Machine) asClient(c *Conn) *segment.Segment {
	s := &segment.Segment{
		Src: c.Flow.Client, Dst: c.Flow.Server,
		Seq: c.irs + 1 + uint32(c.resume), Window: c.peerWindow,
	}
	s.Options.HasTS, s.Options.TSVal = c.server.ts(), c.peerTS
	return s
}

// reconnected takes the restarted stack's SYN-ACK, which the gate held at time
// at.
func (m *Machine) reconnected(c *Conn, s *segment.Segment, cookie bool, at int64) {
	x := c.extra
	if x.tries == 0 || at < x.began {
		return // from the reconnection after an earlier crash
	}
	if s.Ack != c.irs+1+uint32(c.resume) {
		return // a challenge ACK, or an answer to an older attempt
	}
	if err := c.sameOptions(optionsOf(s)); err != nil {
		if !cookie {
			m.reset(c, err.Error())
			return
		}
		x.cookieUnfit = true // a SYN cookie has no room for options without timestamps
		return
	}
	c.unset(cookieSocket)
	if cookie {
		c.set(cookieSocket)
	}
	switch {
	case c.wire != nil:
		m.beginRoll(c, s)
	case !m.prepare(c): // before the third ACK, after which the server may accept the connection
	case cookie:
		x.answer = clone(s)
		m.net.ToServer(m.thirdACK(c, s))
		m.tickCookie(c)
	default:
		m.live(c, s)
	}
}

// ofReopening reports whether a SYN-ACK whose event comes when the connection is live again
// answers a SYN of the core: the kernel answers each of those, and SYN-ACKs from before a crash may
// be of another socket.
func (m *Machine) ofReopening(c *Conn, s *segment.Segment, at int64) bool {
	return c.extra != nil && at < c.extra.liveAt || c.wire != nil && c.wire.rolls && s.Seq == c.wire.iss
}

// prepare stores in the journal how far the connection has come. It reports whether that was
// possible; if not, the connection is reset.
func (m *Machine) prepare(c *Conn) bool {
	una, sent := c.ackedEnd(), c.sentEnd()
	if c.extra.restore != nil || c.is(finDoubtful) {
		sent = una // there is no record of the rest
	}
	unaOff := c.outputOff(una)
	sentOff := unaOff + int64(seqnum.Diff(sent, una))
	if out := m.head(c).Output; out >= unaOff { // an engine that took over may have counted a FIN that the gate had held
		sentOff = min(sentOff, out)
	}
	if err := m.record.Prepare(c.slot, c.start(), unaOff, sentOff, c.resume); err != nil {
		m.reset(c, err.Error())
		return false
	}
	return true
}

// live takes the translation from the restarted stack's SYN-ACK, and makes the connection live again.
func (m *Machine) live(c *Conn, s *segment.Segment) {
	i := m.reopenedImage(c, s)
	m.renewSlot(c, i)
	c.set(recovered)
	c.acked = i.Stable
	// The mode precedes the ACK: the server may send as soon as it has that.
	m.slotOf(c).SetMode(i.Mode)
	m.ackSpoofed(c, s)
	c.extra.answer = clone(s)
	m.goLive(c, m.proven(c, m.thirdACK(c, s)) == SocketOpen)
}

// ackSpoofed completes the handshake in the client's name, and repeats the client's
// FIN if it is in the log: the client will not.
func (m *Machine) ackSpoofed(c *Conn, synack *segment.Segment) {
	s := m.thirdACK(c, synack)
	m.net.ToServer(s)
	if c.is(finLogged) && c.resume == c.fin {
		s.Flags |= segment.FIN
		m.net.ToServer(s)
	}
}

func (m *Machine) thirdACK(c *Conn, synack *segment.Segment) *segment.Segment {
	s := m.asClient(c)
	s.Flags, s.Ack = segment.ACK, synack.Seq+1
	s.Options.TSEcr = synack.Options.TSVal
	return s
}

// repeatFIN sends the client's logged FIN to the stack again.
func (m *Machine) repeatFIN(c *Conn) {
	slot := m.slotOf(c)
	s := m.asClient(c)
	s.Seq = c.irs + 1 + uint32(c.fin)
	s.Flags, s.Ack = segment.FIN|segment.ACK, toKernel(c.una, slot)
	s.Options.TSEcr = slot.TSVal() - slot.TSDelta()
	m.net.ToServer(s)
}

// goLive makes the connection live, takes the deferred segments, and reports the recovery if the
// kernel is known to have the socket.
func (m *Machine) goLive(c *Conn, proven bool) {
	if !m.becomeEstablished(c) {
		return
	}
	x := c.extra
	c.advertised = x.edge
	// A packet that the gate stole before it saw the new mode is still on its
	// way from the tap: whatever was tapped until now, and a little longer for
	// programs that are running, is relayed.
	m.readClock()
	x.liveAt = m.now
	x.cutover, x.retryAt = x.liveAt+cutoverSlack, x.liveAt
	if proven {
		m.recovered(c)
	} else {
		c.set(opening)
		m.watch(c)
		m.lagging = true
	}
	if c.behind(m.slotOf(c)) {
		m.lagging = true
	}
	deferred := x.deferred
	x.deferred = nil
	for _, s := range deferred {
		if c.state != Established {
			break
		}
		m.established(c, s, x.cutover)
	}
	m.noteReads(c)
	m.touch(c)
	if proven {
		m.handshakeDone(c)
	}
}

// recovered counts and reports the recovery.
func (m *Machine) recovered(c *Conn) {
	c.extra.answer = nil
	c.recoveries++
	m.Stats.Recovered++
	m.report(ConnRecovered, c, "")
}

// done ends the opening of a live connection: the kernel has the socket.
func (m *Machine) done(c *Conn) {
	c.unset(opening)
	m.recovered(c)
	m.handshakeDone(c)
}

const cutoverSlack = 1e6 // ns

// sameOptions reports whether the new socket agreed to what the client relies on.
func (c *Conn) sameOptions(got synOptions) error {
	switch {
	case got.ts() != c.server.ts():
		return fmt.Errorf("the restarted stack changed the use of timestamps (net.ipv4.tcp_timestamps)")
	case got.sack() != c.server.sack():
		return fmt.Errorf("the restarted stack changed the use of SACK (net.ipv4.tcp_sack)")
	case got.hasWS() != c.server.hasWS():
		return fmt.Errorf("the restarted stack changed the use of window scaling (net.ipv4.tcp_window_scaling)")
	}
	return nil
}

// tsDelta is what to add to the new stack's timestamps so that the client
// never sees time run backwards (RFC 7323 section 5): nothing on the same
// clock, else what continues the old one.
func (c *Conn) tsDelta(s *segment.Segment) uint32 {
	if !c.server.ts() {
		return 0
	}
	// Much less than half of the number space: after several restarts in a row the
	// client may get segments of the last stack only.
	const plausible = 1 << 24
	last := c.extra.tsval
	if d := seqnum.Diff(s.Options.TSVal, last); d >= 0 && d < plausible {
		return 0
	}
	return last + 1 - s.Options.TSVal
}
