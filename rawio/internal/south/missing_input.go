package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Missing input: bytes of a client's stream that the kernel has received, as its ACK number
// says, and the core has not. Usually the tap is merely behind the kernel. If the tap's buffer
// has overflown, the client, which does not get that ACK number, retransmits the bytes. But the
// kernel may accept packets in which the tap finds no segment, again and again: the protection of
// a connection ends if its client retransmits in vain.
//
// That is concluded when for missingAfter no further byte has arrived in order although the
// kernel has answered the client at least missingAnswers times. A silent client proves nothing: it
// may wait two minutes for its retransmission time-out. Nor do the kernel's window probes and
// keepalives, which the gate does not count, nor an answer to a segment that the tap has seen:
// only the kernel's answers in excess of those count. Where each answer may be to such a segment,
// ambiguousAfter applies.
//
// What was found survives a crash: a client gives up after a number of time-outs, each twice as
// long as the one before, whatever crashes meanwhile. The search goes on as well: in an outage, and
// while an unmodified server is rolled forward, the gate counts what it holds. A roll-forward waits
// no longer than ambiguousAfter for retransmissions that the tap does not see: the client gives up
// hardly later.

const (
	// missingAfter is how long input must be missing, ns. Times when the engine stood still do not
	// count: the tap then has data that is yet to be read.
	missingAfter = 5e9
	// missingAnswers is the number of ticks that must find that the kernel has answered. With
	// exponential backoff, a client retransmits more often than that in missingAfter.
	missingAnswers = 3
	// missingSlowAfter, ns, and missingSlowAnswers are the same for a client whose time-out had
	// grown before, or whose segments the network loses.
	missingSlowAfter   = 30e9
	missingSlowAnswers = 2
	// answerInterval is the shortest time between two answers that count, ns.
	answerInterval = 1e9
	// tapDelay is for how long the tap may be behind the kernel and the gate, ns.
	tapDelay = 100e6
	// ambiguousAfter, ns, and ambiguousAnswers are the same if the tap sees something of the client
	// before each of the answers.
	ambiguousAfter   = 60e9
	ambiguousAnswers = 4
	// scanEvery is how often the core looks for missing input, ns, each time in a part
	// of the slots, but in no fewer than scanMin. It is less than the time between two ticks
	// of an engine that has little to do, 200 ms: so all slots are seen within two seconds.
	scanEvery = 150e6
	scanParts = 8
	scanMin   = 256
	// missingKept is for how long a finding is kept after it was last confirmed, ns, while the
	// kernel is not ahead of the core: a client's time-out is two minutes at most.
	missingKept = 150e9
	// replyTime is for how long after a segment of the core, ns, the client's segments may be
	// answers to it.
	replyTime = 1e9
)

// missingInput is what is known of a connection's missing input. A look is a call of update.
type missingInput struct {
	next       uint32    // the first byte that is missing
	lasted     int64     // ns
	answers    int       // of the kernel to the client, or segments that the gate has held and the tap has not seen
	ambiguous  int       // answers, those to segments that the tap has seen included
	last       ackRecord // at the last look
	answerable int       // segments since the last look that the kernel may answer
	excess     int       // answers of the kernel beyond those; less than 0: some may still come
	since      int64     // time of the look since which there is an excess
	counted    int64     // time when answers was last incremented
	found      int64     // time of the last look at which input was missing, or a segment was held unseen
	tsval      uint32    // newest TSval of the client
}

// ackRecord is what the gate has noted of the kernel's segments.
type ackRecord struct{ bare, ack, edge, tsecr uint32 }

func ackRecordOf(slot *gate.Slot) ackRecord {
	return ackRecord{slot.BareACKs(), slot.Ack(), slot.Edge(), slot.TSEcr()}
}

// answered reports whether the kernel has answered the client between two looks: its segments
// without data were not window updates alone. A newer timestamp to echo comes from a segment of
// the client.
func (s ackRecord) answered(since ackRecord) bool {
	return s.bare != since.bare && (s.ack != since.ack || s.edge == since.edge || s.tsecr != since.tsecr)
}

// answers returns a lower bound of the kernel's answers to the client between two looks.
func (s ackRecord) answers(since ackRecord) int {
	switch {
	case !s.answered(since):
		return 0
	case s.edge != since.edge:
		return 1 // the others may be window updates
	}
	return int((s.bare - since.bare) & gate.MaxBareACKs)
}

// countAnswerable counts a client's segment if the kernel may answer it.
func (mi *missingInput) countAnswerable(s *segment.Segment, b bounds) {
	late := s.Options.HasTS && seqnum.Less(s.Options.TSVal, mi.tsval) // PAWS
	if s.Len() > 0 || late || seqnum.Less(s.Seq, b.next) || seqnum.Less(b.edge, s.Seq) || seqnum.Less(b.sent, s.Ack) {
		mi.answerable++
	}
}

// update compares the kernel's segments with those of the last look. It reports whether one was an
// answer to a segment that the tap has not seen, although it has had time to. The kernel delays no
// answer for as long as replyTime. The first ACK of missing bytes, from a kernel socket that did not
// have them, answers the segment that brought them, whatever else it has answered.
func (mi *missingInput) update(now ackRecord, t, last int64) bool {
	before, n := mi.excess, now.answers(mi.last)
	if mi.excess += n - mi.answerable; mi.excess < 0 && t-last > replyTime {
		mi.excess = 0
	}
	if n > 0 && seqnum.LEQ(mi.last.ack, mi.next) {
		mi.excess = max(mi.excess, 1)
	}
	mi.last, mi.answerable = now, 0
	switch {
	case mi.excess <= 0:
		return false
	case before <= 0:
		mi.since = t
	}
	if t-mi.since < tapDelay {
		return false
	}
	mi.excess = 0
	return true
}

// countAnswer counts an answer. One that comes soon after another may answer not a retransmission
// but data that the client still sent while its window was open.
func (mi *missingInput) countAnswer(now int64) {
	if mi.answers == 0 || now-mi.counted >= answerInterval {
		mi.answers, mi.counted = mi.answers+1, now
	}
}

// scan says where the core looks for missing input next, and when it last looked.
type scan struct {
	slot int
	at   int64
}

// scanSlots makes tick watch the connections with missing input. There is no other event for a
// client whose segments the tap does not see, nor for an ACK that the gate has held because it SACKs
// bytes that the tap has not seen although all below them is in the log. scanSlots also checks
// whether connections can still be recovered; see checkRecoverable.
func (m *Machine) scanSlots() {
	if m.now-m.scan.at < scanEvery {
		return
	}
	m.scan.at = m.now
	for n := min(len(m.slots), max(scanMin, len(m.slots)/scanParts)); n > 0; n-- {
		if m.scan.slot >= len(m.slots) {
			m.scan.slot = 0
		}
		c := m.slots[m.scan.slot].conn
		if c != nil && c.mayBeExposed() {
			m.checkRecoverable(c)
		}
		if c != nil && c.state == Established {
			slot := m.slotOf(c)
			if c.missing == nil && m.hasMissing(c, slot) {
				c.missing = m.newMissing(c, ackRecordOf(slot))
				m.watch(c)
			}
			if slot.Held() && !c.waitsForLog() {
				m.touch(c)
			}
		}
		m.scan.slot++
	}
}

// hasMissing reports whether input of a live connection is missing. Where the log accepts no more,
// the window closes, and the tap is not the cause: see closeWindow. While the log is
// behind, the client retransmits what precedes the missing bytes. Of a server that has
// closed nothing is missing: the core takes no bytes that it would not read.
func (m *Machine) hasMissing(c *Conn, slot *gate.Slot) bool {
	return c.state == Established && !c.is(limited) && !c.behindLog() && m.down.since == 0 &&
		seqnum.Less(c.rcvNxt(), slot.Ack()) && slot.Released() == gate.ReleasedNo
}

func (m *Machine) newMissing(c *Conn, now ackRecord) *missingInput {
	return &missingInput{next: c.rcvNxt(), last: now, found: m.now, tsval: c.peerTS}
}

// tickMissing looks after a connection with missing input. It reports whether it has ended the
// protection.
func (m *Machine) tickMissing(c *Conn) bool {
	mi, slot := c.missing, m.slotOf(c)
	now, next := ackRecordOf(slot), c.rcvNxt()
	switch {
	case m.hasMissing(c, slot):
		if mi.next != next {
			c.missing = m.newMissing(c, now)
			return false
		}
	case mi.next == next && c.mayBeMissing(slot) && m.now-mi.found < missingKept:
		mi.last, mi.answerable, mi.excess = now, 0, 0
		return false
	default:
		c.missing = nil
		return false
	}
	if mi.found != m.now { // else it was found in this tick
		mi.lasted += m.awake
	}
	mi.found = m.now
	if now.answered(mi.last) {
		mi.ambiguous++
	}
	if mi.update(now, m.now, c.last) {
		mi.countAnswer(m.now)
	}
	long := mi.lasted >= ambiguousAfter
	if long && c.wire != nil && m.hasClosed(c, slot) && c.is(finAcked) { // neither side sends anything more unasked
		mi.answers = missingAnswers
	}
	if !(long && mi.ambiguous >= ambiguousAnswers) && !mi.retransmitsUnseen() {
		return false
	}
	switch {
	case !c.behind(slot) || m.hasClosed(c, slot):
		m.unprotectMissing(c, slot)
	case long:
		// The restarted server waits for bytes that only its predecessor has received.
		m.reset(c, reason.Unseen.With(m.missingDetail(c, slot)))
	default:
		return false
	}
	c.missing = nil
	return true
}

// inputLost reports whether a roll-forward waits for bytes that the client retransmits in vain.
func (c *Conn) inputLost() bool {
	mi := c.missing
	return mi != nil && mi.next == c.rcvNxt() && mi.lasted >= ambiguousAfter && mi.retransmitsUnseen()
}

// retransmitsUnseen reports whether the client has retransmitted and the tap has not seen it.
func (mi *missingInput) retransmitsUnseen() bool {
	return mi.lasted >= missingAfter && mi.answers >= missingAnswers || mi.lasted >= missingSlowAfter && mi.answers >= missingSlowAnswers
}

// mayBeMissing reports whether a finding still counts although the kernel is not ahead of the core:
// it is another kernel socket than before, or there is none.
func (c *Conn) mayBeMissing(slot *gate.Slot) bool {
	switch c.state {
	case Outage, Reconnecting, Rolling:
		return true
	}
	return c.state == Established && !c.is(limited) && !c.behindLog() && slot.Released() != gate.ReleasedClosed &&
		seqnum.LEQ(slot.Ack(), c.rcvNxt())
}

// hasClosed reports whether the server has closed the connection.
func (m *Machine) hasClosed(c *Conn, slot *gate.Slot) bool {
	return c.is(serverClosed) || m.head(c).Closing || slot.Released() == gate.ReleasedClosed
}

// unprotectMissing ends the protection of a connection with missing input. What the client sends to
// an unmodified server that has closed would be neither read nor logged.
func (m *Machine) unprotectMissing(c *Conn, slot *gate.Slot) {
	if c.wire != nil && m.hasClosed(c, slot) {
		m.release(c)
		return
	}
	m.unprotect(c, reason.Unseen, m.missingDetail(c, slot))
}

func (m *Machine) missingDetail(c *Conn, slot *gate.Slot) string {
	return fmt.Sprintf("%d, from byte %d on", seqnum.Diff(slot.Ack(), c.rcvNxt()), c.received)
}

// noteSocketGone notes that the kernel has no socket any more of a connection with missing input:
// its RST is no answer to the client. If an unmodified server has closed the connection and the
// client knows, nobody would read the missing bytes, and the client, which answers every probe,
// may never retransmit them. noteSocketGone reports whether it has ended the protection.
func (m *Machine) noteSocketGone(c *Conn) bool {
	mi, slot := c.missing, m.slotOf(c)
	mi.answers, mi.ambiguous, mi.excess = 0, 0, 0
	if c.wire == nil || mi.lasted < missingAfter || !m.hasMissing(c, slot) || !c.is(finAcked) || !m.hasClosed(c, slot) {
		return false
	}
	if end := c.irs + 1 + uint32(c.early) + 1; c.early >= 0 && slot.Ack() == end {
		m.lingerUnread(c, slot)
	} else {
		m.unprotectMissing(c, slot)
	}
	c.missing = nil
	return true
}

// lingerUnread ends a connection that is over for the kernel, which has received all of the
// client's stream. The client may not get the ACK of it at once, and retransmits.
func (m *Machine) lingerUnread(c *Conn, slot *gate.Slot) {
	c.echoNewest(slot)
	m.sendAck(c, slot, slot.Ack())
	c.fin, c.early, c.ahead = c.early, -1, nil
	c.received, c.stable = c.fin, c.fin
	c.set(finLogged)
	m.linger(c)
}
