package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// A hole is missing input: bytes of a client's stream that the kernel has received, as its ACK
// number says, and the core has not. As a rule it lasts as long as the tap is behind the kernel.
// If the tap's buffer has overflown, the client, which does not get that ACK number, retransmits
// the bytes. But the kernel may accept packets in which the tap finds no segment, time and again:
// the protection of a connection ends if its client retransmits in vain.
//
// That is so when for holeAfter not one byte more has come in order, although the kernel
// has answered the client holeAnswers times or more. A client that is silent, as one may
// be for two minutes that waits for its retransmission time-out, proves nothing, nor do
// the kernel's probes of a closed window and keepalives: the gate does not count them. Nor
// does what may answer a segment that the tap has seen: only what the kernel has said
// more often than that counts. Where each may be such an answer, holeDeaf counts.
//
// A crash does not undo what was found until then, for a client gives up after a number of
// time-outs, each twice as long as the one before, whatever crashes meanwhile. Nor does
// it keep the core from finding more: in an outage, and while an unmodified server is
// rolled forward, the gate counts what it holds. Whoever rolls forward waits no longer than
// holeDeaf for what the client repeats in vain: its patience is hardly longer.

const (
	// holeAfter is how long, ns, not counting times when the engine stood still: what
	// the tap has then is yet to be read.
	holeAfter = 5e9
	// holeAnswers is how many ticks must find that the kernel has answered. A client
	// repeats itself more often than that in holeAfter, with an exponential back-off.
	holeAnswers = 3
	// holeSlow is how long, ns, and slowAnswers how many of such ticks, of a client whose
	// time-out had grown before, or whose segments the network loses.
	holeSlow    = 30e9
	slowAnswers = 2
	// answersApart is how far apart two of these are, ns.
	answersApart = 1e9
	// holeQuiet is for how long the tap must not have seen what an answer may be for, ns.
	holeQuiet = 100e6
	// holeDeaf is how long, ns, and deafAnswers how many of such ticks, if the tap sees
	// something of the client before each of them.
	holeDeaf    = 60e9
	deafAnswers = 4
	// seekEvery is how often the core looks for new holes, ns, each time at a part
	// of the slots, but not at fewer than seekMin. It is less than the time between two ticks
	// of an engine that has little to do, 200 ms: so all slots are seen within two seconds.
	seekEvery = 150e6
	seekParts = 8
	seekMin   = 256
	// holeKept is for how long what was found is kept after the last of it, ns, while the
	// kernel has nothing that lacks: a client's time-out is two minutes at most.
	holeKept = 150e9
	// askedQuiet is how long after a segment of the core, ns, what the client says may
	// answer that.
	askedQuiet = 1e9
)

type hole struct {
	next       uint32 // the first byte that lacks
	lasted     int64  // ns
	answers    int    // of the kernel, to the client, or what the gate has held of it unseen
	doubts     int    // what may be one
	said       said
	answerable int    // segments, since the last look, that the kernel may answer
	excess     int    // answers of the kernel beyond what it may have answered so; less than 0: it may owe some
	since      int64  // time of the look since which there are some
	counted    int64  // time of the last of answers
	found      int64  // time of the last look at which there was a hole, or something unseen
	clock      uint32 // newest TSval of the client
}

// said is what the gate has noted of the kernel's segments.
type said struct{ bare, ack, edge, echo uint32 }

func saidBy(slot *gate.Slot) said {
	return said{slot.BareACKs(), slot.Ack(), slot.Edge(), slot.TSEcr()}
}

// answered reports whether the kernel has answered the client between two looks: what it
// has said without data was not only that its window is wider. A newer timestamp to echo
// it has from a segment of the client.
func (s said) answered(since said) bool {
	return s.bare != since.bare && (s.ack != since.ack || s.edge == since.edge || s.echo != since.echo)
}

// answers returns how often the kernel has answered the client between two looks, at least.
func (s said) answers(since said) int {
	switch {
	case !s.answered(since):
		return 0
	case s.edge != since.edge:
		return 1 // the others may say that the window is wider
	}
	return int((s.bare - since.bare) & gate.MaxBareACKs)
}

// expectAnswer counts a client's segment if the kernel may answer it.
func (h *hole) expectAnswer(s *segment.Segment, b bounds) {
	late := s.Options.HasTS && seqnum.Less(s.Options.TSVal, h.clock) // PAWS
	if s.Len() > 0 || late || seqnum.Less(s.Seq, b.next) || seqnum.Less(b.edge, s.Seq) || seqnum.Less(b.sent, s.Ack) {
		h.answerable++
	}
}

// weigh looks at what the kernel has said since the last look. It reports whether there
// was an answer to what the tap has not seen, although it has had the time. The kernel
// delays no answer for as long as askedQuiet. The first ACK of what lacks, from a kernel
// socket that did not have it, answers that, whatever else it has answered.
func (h *hole) weigh(now said, t, last int64) bool {
	before, n := h.excess, now.answers(h.said)
	if h.excess += n - h.answerable; h.excess < 0 && t-last > askedQuiet {
		h.excess = 0
	}
	if n > 0 && seqnum.LEQ(h.said.ack, h.next) {
		h.excess = max(h.excess, 1)
	}
	h.said, h.answerable = now, 0
	switch {
	case h.excess <= 0:
		return false
	case before <= 0:
		h.since = t
	}
	if t-h.since < holeQuiet {
		return false
	}
	h.excess = 0
	return true
}

// count takes note of an answer. What comes soon after another one may answer not what the
// client has repeated, but what it had still to say when its window was open.
func (h *hole) count(now int64) {
	if h.answers == 0 || now-h.counted >= answersApart {
		h.answers, h.counted = h.answers+1, now
	}
}

// search is where the core looks for holes next, and when.
type search struct {
	slot int
	at   int64
}

// seekHoles makes tick watch the connections with a hole. No other event comes for a client whose
// segments the tap does not see, nor for an ACK that the gate has held because it SACKs what the
// tap has not seen, though all below that is in the log. seekHoles also looks whether
// connections can still be recovered; see look.
func (m *Machine) seekHoles() {
	if m.now-m.sought.at < seekEvery {
		return
	}
	m.sought.at = m.now
	for n := min(len(m.slots), max(seekMin, len(m.slots)/seekParts)); n > 0; n-- {
		if m.sought.slot >= len(m.slots) {
			m.sought.slot = 0
		}
		c := m.slots[m.sought.slot].conn
		if c != nil && c.mayBeExposed() {
			m.look(c)
		}
		if c != nil && c.state == Established {
			slot := m.slotOf(c)
			if c.hole == nil && m.misses(c, slot) {
				c.hole = m.newHole(c, saidBy(slot))
				m.watch(c)
			}
			if slot.Held() && !c.waits() {
				m.touch(c)
			}
		}
		m.sought.slot++
	}
}

// misses reports whether a live connection has a hole. Where the log takes no more, or
// nothing, the window closes and it is not the tap's: see closeWindow. While the log is
// behind, the client says again what comes before the hole. Of what a server that has
// closed would not read the core takes nothing.
func (m *Machine) misses(c *Conn, slot *gate.Slot) bool {
	return c.state == Established && !c.is(limited) && !c.behindLog() && m.down.since == 0 &&
		seqnum.Less(c.rcvNxt(), slot.Ack()) && slot.Released() == gate.ReleasedNo
}

func (m *Machine) newHole(c *Conn, now said) *hole {
	return &hole{next: c.rcvNxt(), said: now, found: m.now, clock: c.peerTS}
}

// tickHole looks after a connection with a hole. It reports whether it has ended the protection.
func (m *Machine) tickHole(c *Conn) bool {
	h, slot := c.hole, m.slotOf(c)
	now, next := saidBy(slot), c.rcvNxt()
	switch {
	case m.misses(c, slot):
		if h.next != next {
			c.hole = m.newHole(c, now)
			return false
		}
	case h.next == next && c.mayMiss(slot) && m.now-h.found < holeKept:
		h.said, h.answerable, h.excess = now, 0, 0
		return false
	default:
		c.hole = nil
		return false
	}
	if h.found != m.now { // else it was found in this tick
		h.lasted += m.awake
	}
	h.found = m.now
	if now.answered(h.said) {
		h.doubts++
	}
	if h.weigh(now, m.now, c.last) {
		h.count(m.now)
	}
	long := h.lasted >= holeDeaf
	if long && c.wire != nil && m.hasClosed(c, slot) && c.is(finAcked) { // nobody says anything more by himself
		h.answers = holeAnswers
	}
	if !(long && h.doubts >= deafAnswers) && !h.vain() {
		return false
	}
	switch {
	case !c.behind(slot) || m.hasClosed(c, slot):
		m.goOnUnseen(c, slot)
	case long:
		// The restarted server waits for what only its predecessor has had.
		m.reset(c, reason.Unseen.With(m.unseen(c, slot)))
	default:
		return false
	}
	c.hole = nil
	return true
}

// deaf reports whether a roll-forward waits for what the client repeats in vain.
func (c *Conn) deaf() bool {
	h := c.hole
	return h != nil && h.next == c.rcvNxt() && h.lasted >= holeDeaf && h.vain()
}

// vain reports whether the client has repeated itself in vain.
func (h *hole) vain() bool {
	return h.lasted >= holeAfter && h.answers >= holeAnswers || h.lasted >= holeSlow && h.answers >= slowAnswers
}

// mayMiss reports whether what was found of a hole still counts, although the kernel has
// nothing that lacks: it is another kernel socket than before, or there is none.
func (c *Conn) mayMiss(slot *gate.Slot) bool {
	switch c.state {
	case Outage, Reconnecting, Rolling:
		return true
	}
	return c.state == Established && !c.is(limited) && !c.behindLog() && slot.Released() != gate.ReleasedClosed &&
		seqnum.LEQ(slot.Ack(), c.rcvNxt())
}

// hasClosed reports whether the server has closed the connection.
func (m *Machine) hasClosed(c *Conn, slot *gate.Slot) bool {
	return c.is(abandoned) || m.head(c).Closing || slot.Released() == gate.ReleasedClosed
}

// goOnUnseen ends the protection of a connection with a hole. What the client sends to an
// unmodified server that has closed would be neither read nor logged.
func (m *Machine) goOnUnseen(c *Conn, slot *gate.Slot) {
	if c.wire != nil && m.hasClosed(c, slot) {
		m.release(c)
		return
	}
	m.unprotect(c, reason.Unseen, m.unseen(c, slot))
}

func (m *Machine) unseen(c *Conn, slot *gate.Slot) string {
	return fmt.Sprintf("%d, from byte %d on", seqnum.Diff(slot.Ack(), c.rcvNxt()), c.received)
}

// goneWithHole takes note that the kernel does not know a connection with a hole any more:
// that is no answer to the client. If an unmodified server has closed it and the client
// knows, nobody would read what lacks, and the client, which answers whatever it is asked,
// may never say it again. It reports whether it has ended the protection.
func (m *Machine) goneWithHole(c *Conn) bool {
	h, slot := c.hole, m.slotOf(c)
	h.answers, h.doubts, h.excess = 0, 0, 0
	if c.wire == nil || h.lasted < holeAfter || !m.misses(c, slot) || !c.is(finAcked) || !m.hasClosed(c, slot) {
		return false
	}
	if end := c.irs + 1 + uint32(c.early) + 1; c.early >= 0 && slot.Ack() == end {
		m.overUnread(c, slot)
	} else {
		m.goOnUnseen(c, slot)
	}
	c.hole = nil
	return true
}

// overUnread ends a connection that is over for the kernel, which has had all that the
// client had to say. The client may not get the ACK of it at once, and repeats it.
func (m *Machine) overUnread(c *Conn, slot *gate.Slot) {
	c.echoNewest(slot)
	m.sendAck(c, slot, slot.Ack())
	c.fin, c.early, c.ahead = c.early, -1, nil
	c.received, c.stable = c.fin, c.fin
	c.set(finLogged)
	m.linger(c)
}
