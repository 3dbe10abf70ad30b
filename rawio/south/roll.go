package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// Roll-forward on the wire: for an unmodified server the core plays the client.
// The spoofed handshake begins where the log begins. Then the logged bytes go to
// the restarted server as segments, and what it answers, which the gate captures
// and holds, is compared with what its predecessor had sent. Up to una it is
// only acknowledged; what lies beyond goes to the client. When the server has
// had all of the log and has come as far as its predecessor, the gate lets both
// talk to each other again.

// roll is the state of one roll-forward. Offsets are those of the two streams;
// the client's FIN counts as a byte of its stream, the server's of its.
type roll struct {
	delta   uint32 // client-visible minus kernel sequence numbers
	tsDelta uint32
	wscale  uint8 // of the new kernel socket

	// Input: from the log to the server.
	sent, acked, edge int64 // sent to the new socket, acknowledged by it, and its window's end
	most              int64 // highest that sent ever was
	pages             pages // of the log, unless it is immediate

	// Output: from the server.
	out      int64 // received in order
	outAcked int64 // acknowledged to the server
	edgeOut  int64 // window's end that the server was told
	fin      int64 // offset of the server's FIN, -1: none yet
	check    check
	pending  []piece // beyond una, not yet sent to the client
	tsval    uint32  // newest of the kernel
	tsFirst  uint32  // of its SYN-ACK
	tsSince  int64   // when that came, by Kernel.Now
	ackDue   bool
	opened   bool // the kernel is known to have the socket

	movedAt   int64 // last progress
	starvedAt int64 // last time that the log was waited for
	askedAt   int64 // last repetition for want of progress
	asks      int   // since

	missing   uint32 // the first byte that the client has to say again
	missingAt int64  // since when

	deafUntil int64 // a FIN that comes before may be the last socket's; 0: it cannot
}

// piece is output that waits to be compared before the client gets it.
type piece struct {
	off int64
	p   []byte
}

const (
	// stallAsk is how long nothing may move before what may be lost is sent
	// again, ns.
	stallAsk = 200e6
	// stallEnd is the same before the connection is given up.
	stallEnd = 20e9
	// deafFor is for how long captured output may be under way from the gate, ns. The
	// kernel repeats what was ignored.
	deafFor = 100e6
)

// beginRoll takes the SYN-ACK of the restarted server.
func (m *Machine) beginRoll(c *Conn, s *segment.Segment) {
	w, at := c.wire, c.start()
	if c.is(restored) { // see widenRestored
		m.forgetOutput(c)
	}
	o := optionsOf(s)
	first := c.outputSeq(at.Out)
	r := &roll{
		pages: pages{end: at.In},
		delta: first - (s.Seq + 1), tsDelta: c.tsDelta(s), wscale: o.wscale,
		most: at.In, sent: at.In, acked: at.In, edge: at.In + int64(s.Window), // not scaled in a SYN-ACK
		out: at.Out, outAcked: at.Out, edgeOut: at.Out, fin: -1, check: check{verified: at.Out},
		tsval: s.Options.TSVal, tsFirst: s.Options.TSVal, tsSince: m.kernel.Now(), ackDue: true, movedAt: m.now, askedAt: m.now,
	}
	if w.rolls && w.iss == s.Seq { // SYN cookies for the same SYN
		r.deafUntil = m.now + deafFor
	}
	w.rolls, w.iss = true, s.Seq
	if !m.becomeRolling(c, r) {
		return
	}
	r.edgeOut = m.outputEdge(c) // whatever the SYN has offered: only the ACK counts
	m.net.ToServer(m.rollAck(c, r.outAcked, r.edgeOut))
	m.openRoll(c)
}

// endRoll forgets a roll-forward that is over, or was ended by a crash.
func (m *Machine) endRoll(c *Conn) {
	if c.extra != nil && c.extra.roll != nil {
		m.dropPages(c.extra.roll)
		c.extra.roll = nil
		m.rolling--
	}
}

// roll does what a batch of captured output, of the client's segments or of the
// log's upcalls makes possible.
func (m *Machine) roll(c *Conn) {
	r := c.extra.roll
	if !r.opened { // what is sent now could be refused
		return
	}
	m.forwardPending(c)
	if min(r.out, c.outputOff(c.ackedEnd())) > r.outAcked { // the client has acknowledged more
		r.ackDue, r.movedAt = true, m.now
	}
	if m.outputEdge(c) > r.edgeOut { // it has more room, and may have said nothing else
		r.ackDue = true
	}
	if m.caughtUp(c) {
		m.rollLive(c)
		return
	}
	m.feed(c)
	if c.state == Rolling && r.ackDue {
		m.tellServer(c)
	}
}

// caughtUp reports whether the server has had all that was logged and has sent
// all that its predecessor has.
func (m *Machine) caughtUp(c *Conn) bool {
	r := c.extra.roll
	end := c.received
	if c.fin >= 0 {
		end++
	}
	if r.acked < end || c.behindLog() {
		return false
	}
	return m.outputDone(c)
}

// outputDone reports whether the server has sent all that its predecessor has.
func (m *Machine) outputDone(c *Conn) bool {
	r, una := c.extra.roll, c.outputOff(c.ackedEnd())
	if d := c.wire.digest; d != nil {
		// The last of its captures may still be under way.
		return d.end >= una && r.out >= d.end && r.check.verified >= min(d.end, r.out) && len(r.pending) == 0
	}
	return r.out >= una
}

// rollLive lets client and server talk to each other.
func (m *Machine) rollLive(c *Conn) {
	r, i := c.extra.roll, m.rolledImage(c)
	m.renewSlot(c, i)
	c.set(recovered)
	c.acked = seqnum.Max(c.acked, i.Stable)
	c.resume = c.received
	// What the client has acknowledged so far, with its true window.
	m.net.ToServer(m.rollAck(c, r.withFIN(c, c.outputOff(c.ackedEnd())), c.clientWindow()))
	m.slotOf(c).SetMode(i.Mode)
	m.goLive(c, true)
	if c.state == Established && r.fin >= 0 {
		m.forwardFIN(c, r.fin)
	}
}

// forwardFIN sends the server's FIN, which the gate has held: the kernel
// believes that it has left.
func (m *Machine) forwardFIN(c *Conn, off int64) {
	slot := m.slotOf(c)
	if slot.Released() == gate.ReleasedCrashed {
		return
	}
	end := c.outputSeq(off) + 1
	slot.SetFIN(end)
	slot.SetSndNxt(seqnum.Max(slot.SndNxt(), end))
	c.meantFIN(end)
	if c.is(finAcked) {
		return
	}
	s := c.ackSegment(seqnum.Min(c.stableSeq(), slot.Ack()), slot.Edge())
	s.Seq, s.Flags = end-1, segment.FIN|segment.ACK
	s.Options.TSVal, s.Options.TSEcr = slot.TSVal(), c.peerTS
	m.net.ToClient(s)
}

// tickRoll repeats what may be lost, and ends what does not come to an end.
func (m *Machine) tickRoll(c *Conn) {
	r := c.extra.roll
	m.tickPages(c)
	if !r.opened {
		m.tickOpenRoll(c)
		return
	}
	if m.starved(c) || r.acked >= c.received && m.waitsForInput(c) {
		r.starvedAt = m.now // it is not the server that stands still
	}
	if m.now-max(r.movedAt, r.starvedAt) >= stallEnd {
		what := fmt.Sprintf("has taken %d of %d bytes", r.acked-c.start().In, c.received-c.start().In)
		if r.acked >= c.received {
			what = fmt.Sprintf("has sent %d bytes where its predecessor had sent %d", r.out-c.start().Out, c.outputOff(c.sentEnd())-c.start().Out)
		}
		m.mismatch(c, "the restarted server does not come as far as its predecessor: it "+what)
		return
	}
	if r.movedAt > r.askedAt {
		r.asks = 0
	}
	if m.now-max(r.movedAt, r.askedAt) < stallAsk<<min(r.asks, 3) {
		return
	}
	r.asks++
	r.askedAt = m.now
	if m.reopenUnaccepted(c) {
		return
	}
	m.askClient(c)
	if r.starvedAt == m.now && r.acked >= c.received {
		m.stepAside(c)
	}
	if r.sent > r.acked {
		r.sent = r.acked
	}
	// The answer tells of the window and of what has arrived.
	s := m.rollAck(c, r.outAcked, r.edgeOut)
	s.Seq--
	m.net.ToServer(s)
	r.ackDue = true
	m.touch(c)
}

// waitsForInput reports whether the log lacks bytes that the client has sent, has to send
// again, and lives to do so: the earlier server may have answered them, and the
// client's RTO may have grown long. While the log is down, or its buffer full, that time does
// not begin: what waits for it does not lack.
func (m *Machine) waitsForInput(c *Conn) bool {
	r := c.extra.roll
	if next := c.rcvNxt(); r.missingAt == 0 || r.missing != next || c.is(stuck) {
		r.missing, r.missingAt = next, m.now
	}
	if m.now-c.last >= silentMost || c.deaf() {
		return false
	}
	// What a restored connection's client has said shows only in what it was answered, if
	// its window was closed behind that.
	answered := c.is(restored) && r.out < c.outputOff(c.ackedEnd()) && m.now-r.movedAt < missesMost
	return answered || c.extra.said != 0 && seqnum.Less(c.rcvNxt(), c.extra.said) && m.now-r.missingAt < repeatsMost
}

const (
	// silentMost is how long a silent client is waited for, ns. It is asked more often.
	silentMost = 60e9
	// repeatsMost is how long one is waited for that speaks, but does not send the missing
	// input, ns, from when the log could take it: what it repeats the tap may never see.
	// New clients wait as long, and give up after two minutes.
	repeatsMost = 90e9
)

// askClient has the client say what it has received: it answers an old sequence
// number with the newest it knows (RFC 9293 section 3.8.4).
func (m *Machine) askClient(c *Conn) {
	if c.closed() || c.is(finAcked) {
		return
	}
	s := c.ackSegment(c.stableSeq(), c.extra.edge)
	s.Seq = c.una - 1
	s.Options.TSVal, s.Options.TSEcr = c.extra.tsval, c.peerTS
	c.acked = seqnum.Max(c.acked, c.stableSeq())
	m.trace(c, c.stableSeq())
	m.asks(c)
	m.net.ToClient(s)
}

// mismatch ends a connection whose restarted server does not do what its
// predecessor has done.
func (m *Machine) mismatch(c *Conn, why string) {
	m.report(ConnMismatch, c, why)
	m.reset(c, why)
}
