package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Roll-forward on the wire: for an unmodified server the core plays the client.
// The spoofed handshake begins where the log begins. Then the core sends the logged bytes to
// the restarted server as segments, and compares its output, which the gate captures
// and holds, with what its predecessor had sent. Output up to una is
// only acknowledged; the rest goes to the client. When the server has
// received all of the log and sent as much as its predecessor, the gate passes
// both sides' packets again.

// roll is the state of one roll-forward. Offsets are those of the two streams;
// the client's FIN counts as a byte of its stream, the server's of its.
type roll struct {
	delta   uint32 // client-visible minus kernel sequence numbers
	tsDelta uint32
	wscale  uint8 // of the new kernel socket

	// Input: from the log to the server.
	sent, acked, edge int64 // sent to the new socket, acknowledged by it, and its right window edge
	most              int64 // maximum of sent
	pages             pages // of the log, unless it is immediate

	// Output: from the server.
	out      int64 // received in order
	outAcked int64 // acknowledged to the server
	edgeOut  int64 // right window edge that was advertised to the server
	fin      int64 // offset of the server's FIN, -1: none yet
	check    check
	pending  []piece // beyond una, not yet sent to the client
	tsval    uint32  // newest TSval of the kernel
	tsFirst  uint32  // TSval of its SYN-ACK
	tsSince  int64   // arrival of the SYN-ACK, by Kernel.Now
	ackDue   bool
	opened   bool // the kernel is known to have the socket

	movedAt   int64 // last progress
	starvedAt int64 // last time when it waited for the log
	probedAt  int64 // last retransmission for lack of progress
	probes    int   // since

	missing   uint32 // the first byte that the client has to retransmit
	missingAt int64  // since when

	finIgnoredUntil int64 // a FIN that is captured before may be of the previous socket; 0: it cannot
}

// piece is output that is to be compared before it is sent to the client.
type piece struct {
	off int64
	p   []byte
}

const (
	// probeAfter is how long there may be no progress before segments that may be lost are sent
	// again, ns.
	probeAfter = 200e6
	// stallEnd is the same before the connection is given up.
	stallEnd = 20e9
	// captureDelay is for how long captured output may be under way from the gate, ns. The
	// kernel retransmits what was ignored.
	captureDelay = 100e6
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
		tsval: s.Options.TSVal, tsFirst: s.Options.TSVal, tsSince: m.kernel.Now(), ackDue: true, movedAt: m.now, probedAt: m.now,
	}
	if w.rolls && w.iss == s.Seq { // SYN cookies for the same SYN
		r.finIgnoredUntil = m.now + captureDelay
	}
	w.rolls, w.iss = true, s.Seq
	if !m.becomeRolling(c, r) {
		return
	}
	r.edgeOut = m.outputEdge(c) // whatever the SYN has advertised: only the ACK counts
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

// roll goes on with a roll-forward after a batch of captured output, of the client's segments or of the
// log's upcalls.
func (m *Machine) roll(c *Conn) {
	r := c.extra.roll
	if !r.opened { // what is sent now could be refused
		return
	}
	m.forwardPending(c)
	if min(r.out, c.outputOff(c.ackedEnd())) > r.outAcked { // the client has acknowledged more
		r.ackDue, r.movedAt = true, m.now
	}
	if m.outputEdge(c) > r.edgeOut { // the client's window has grown
		r.ackDue = true
	}
	if m.caughtUp(c) {
		m.rollLive(c)
		return
	}
	m.feed(c)
	if c.state == Rolling && r.ackDue {
		m.ackServer(c)
	}
}

// caughtUp reports whether the server has acknowledged all that was logged and has sent
// all that its predecessor had.
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

// outputDone reports whether the server has sent all that its predecessor had.
func (m *Machine) outputDone(c *Conn) bool {
	r, una := c.extra.roll, c.outputOff(c.ackedEnd())
	if d := c.wire.digest; d != nil {
		// The last of its captures may still be under way.
		return d.end >= una && r.out >= d.end && r.check.verified >= min(d.end, r.out) && len(r.pending) == 0
	}
	return r.out >= una
}

// rollLive makes the connection live: the kernel serves the client again.
func (m *Machine) rollLive(c *Conn) {
	r, i := c.extra.roll, m.rolledImage(c)
	m.renewSlot(c, i)
	c.set(recovered)
	c.acked = seqnum.Max(c.acked, i.Stable)
	c.resume = c.received
	// The server gets what the client has acknowledged so far, with the client's own window.
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

// tickRoll retransmits what may be lost, and ends a roll-forward without progress.
func (m *Machine) tickRoll(c *Conn) {
	r := c.extra.roll
	m.tickPages(c)
	if !r.opened {
		m.tickOpenRoll(c)
		return
	}
	if m.starved(c) || r.acked >= c.received && m.waitsForInput(c) {
		r.starvedAt = m.now // the server is not the cause
	}
	if m.now-max(r.movedAt, r.starvedAt) >= stallEnd {
		what := fmt.Sprintf("has taken %d of %d bytes", r.acked-c.start().In, c.received-c.start().In)
		if r.acked >= c.received {
			what = fmt.Sprintf("has sent %d bytes where its predecessor had sent %d", r.out-c.start().Out, c.outputOff(c.sentEnd())-c.start().Out)
		}
		m.mismatch(c, "the restarted server does not come as far as its predecessor: it "+what)
		return
	}
	if r.movedAt > r.probedAt {
		r.probes = 0
	}
	if m.now-max(r.movedAt, r.probedAt) < probeAfter<<min(r.probes, 3) {
		return
	}
	r.probes++
	r.probedAt = m.now
	if m.reopenUnaccepted(c) {
		return
	}
	m.probeClient(c)
	if r.starvedAt == m.now && r.acked >= c.received {
		m.leaveWindow(c)
	}
	if r.sent > r.acked {
		r.sent = r.acked
	}
	// The answer has the server's window and what it has received.
	s := m.rollAck(c, r.outAcked, r.edgeOut)
	s.Seq--
	m.net.ToServer(s)
	r.ackDue = true
	m.touch(c)
}

// waitsForInput reports whether the log lacks bytes that the client has sent and has to retransmit,
// and the client is alive: the earlier server may have answered those bytes, and the
// client's RTO may have grown long. The time does not begin while the log is down, or its buffer full:
// bytes that wait for the log are not missing.
func (m *Machine) waitsForInput(c *Conn) bool {
	r := c.extra.roll
	if next := c.rcvNxt(); r.missingAt == 0 || r.missing != next || c.is(logStalled) {
		r.missing, r.missingAt = next, m.now
	}
	if m.now-c.last >= silentMax || c.inputLost() {
		return false
	}
	// If the window of a restored connection's client was closed after those bytes, nothing but the
	// earlier server's answers shows that the client has sent them.
	answered := c.is(restored) && r.out < c.outputOff(c.ackedEnd()) && m.now-r.movedAt < missingInputMax
	return answered || c.extra.seqSeen != 0 && seqnum.Less(c.rcvNxt(), c.extra.seqSeen) && m.now-r.missingAt < retransmitMax
}

const (
	// silentMax is how long to wait for a client that sends nothing, ns. It is probed more often.
	silentMax = 60e9
	// retransmitMax is how long to wait for a client that sends segments, but not the missing input, ns,
	// from when the log could take it: the tap may never see its retransmissions.
	// Meanwhile new clients wait, who give up after two minutes.
	retransmitMax = 90e9
)

// probeClient sends a keepalive probe: the client answers the old sequence number with its RCV.NXT
// (RFC 9293 section 3.8.4).
func (m *Machine) probeClient(c *Conn) {
	if c.closed() || c.is(finAcked) {
		return
	}
	s := c.ackSegment(c.stableSeq(), c.extra.edge)
	s.Seq = c.una - 1
	s.Options.TSVal, s.Options.TSEcr = c.extra.tsval, c.peerTS
	c.acked = seqnum.Max(c.acked, c.stableSeq())
	m.trace(c, c.stableSeq())
	m.noteProbe(c)
	m.net.ToClient(s)
}

// mismatch ends a connection whose restarted server differs from its predecessor.
func (m *Machine) mismatch(c *Conn, why string) {
	m.report(ConnMismatch, c, why)
	m.reset(c, why)
}
