package south

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/rawio/gate"
)

// A hole is what the kernel has taken of a client's stream, as its ACK number says,
// and the core lacks. As a rule it lasts as long as the tap is behind the kernel. If
// the tap's buffer has overflown, the client, which does not hear that ACK number,
// says it again. But the kernel may take packets in which the tap sees no segment, and
// would go on to do so: a connection whose client repeats itself in vain is let go of.
//
// That is so when for holeAfter not one byte more has come in order, although the kernel
// has answered the client holeAnswers times or more. A client that is silent, as one may
// be for two minutes that waits for its retransmission time-out, proves nothing. Nor
// does what follows a segment that the tap has seen: it may answer that. Only where
// there is never anything else, for holeDeaf, it counts.

const (
	// holeAfter is how long, ns, not counting times when the engine stood still: what
	// the tap has then is yet to be read.
	holeAfter = 5e9
	// holeAnswers is how many ticks must find that the kernel has answered. A client
	// repeats itself more often than that in holeAfter, with an exponential back-off.
	holeAnswers = 3
	// holeQuiet is for how long before the tick, and since the tick before, the tap must
	// have seen nothing of the client, ns.
	holeQuiet = 100e6
	// holeDeaf is how long, ns, and deafAnswers how many of such ticks, if the tap sees
	// something of the client before each of them.
	holeDeaf    = 60e9
	deafAnswers = 4
	// maxAwake is the most that a tick counts for, ns.
	maxAwake = 1e9
	// seekEvery is how often the core looks for new holes, ns, each time at a part
	// of the slots, but not at fewer than seekMin.
	seekEvery = 200e6
	seekParts = 8
	seekMin   = 256
)

type hole struct {
	next    uint32 // the first byte that lacks
	lasted  int64  // ns
	answers int    // of the kernel, to the client
	doubts  int    // what may be one
	said    said
	looked  int64 // time of the last look
}

// said is what the gate has noted of the kernel's segments.
type said struct{ bare, ack, edge uint32 }

func heardOf(slot *gate.Slot) said { return said{slot.BareACKs(), slot.Ack(), slot.Edge()} }

// answered reports whether the kernel has answered the client between two looks: what it
// has said without data was not only that its window is wider.
func (s said) answered(since said) bool {
	return s.bare != since.bare && (s.ack != since.ack || s.edge == since.edge)
}

// search is where the core looks for holes next, and when.
type search struct {
	slot int
	at   int64
}

// seekHoles has tick watch the connections with a hole: of a client of which the
// tap sees nothing no other event tells.
func (m *Machine) seekHoles() {
	if m.now-m.sought.at < seekEvery {
		return
	}
	m.sought.at = m.now
	for n := min(len(m.slots), max(seekMin, len(m.slots)/seekParts)); n > 0; n-- {
		if m.sought.slot >= len(m.slots) {
			m.sought.slot = 0
		}
		if c := m.slots[m.sought.slot].conn; c != nil && c.hole == nil {
			if slot := m.env.Slot(c.slot); m.misses(c, slot) {
				c.hole = &hole{next: c.rcvNxt(), said: heardOf(slot)}
				m.watch(c)
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

// tickHole looks after a connection with a hole. It reports whether it has let go of it.
func (m *Machine) tickHole(c *Conn) bool {
	h, slot := c.hole, m.env.Slot(c.slot)
	if !m.misses(c, slot) {
		c.hole = nil
		return false
	}
	now := heardOf(slot)
	// While the log is behind, the client repeats what waits for that, and comes no further.
	if next := c.rcvNxt(); h.next != next || c.behindLog() {
		*h = hole{next: next, said: now}
		return false
	}
	h.lasted += m.awake
	if now.answered(h.said) {
		if h.doubts++; m.now-c.last > holeQuiet && c.last < h.looked {
			h.answers++
		}
	}
	h.said, h.looked = now, m.now
	long := h.lasted >= holeDeaf
	if long && c.wire != nil && m.hasClosed(c, slot) && c.is(finAcked) { // nobody says anything more by himself
		h.answers = holeAnswers
	}
	if !(long && h.doubts >= deafAnswers) && !(h.lasted >= holeAfter && h.answers >= holeAnswers) {
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

// hasClosed reports whether the server has closed the connection.
func (m *Machine) hasClosed(c *Conn, slot *gate.Slot) bool {
	return c.is(abandoned) || m.head(c).Closing || slot.Released() == gate.ReleasedClosed
}

// goOnUnseen has a connection with a hole go on without the core. What the client says
// to an unmodified server that has closed nobody would read, nor log.
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
// may never say it again. It reports whether it has let go of the connection.
func (m *Machine) goneWithHole(c *Conn) bool {
	h, slot := c.hole, m.env.Slot(c.slot)
	h.answers, h.doubts = 0, 0
	if c.wire == nil || h.lasted < holeAfter || !m.misses(c, slot) || !c.is(finAcked) || !m.hasClosed(c, slot) {
		return false
	}
	c.hole = nil
	if end := c.irs + 1 + uint32(c.early) + 1; c.early >= 0 && slot.Ack() == end {
		m.overUnread(c, slot)
		return true
	}
	m.goOnUnseen(c, slot)
	return true
}

// overUnread ends a connection that is over for the kernel, which has had all that the
// client had to say. The client may not hear that at once, and repeats it.
func (m *Machine) overUnread(c *Conn, slot *gate.Slot) {
	m.sendAck(c, slot, slot.Ack())
	c.fin, c.early, c.ahead = c.early, -1, nil
	c.received, c.stable = c.fin, c.fin
	c.set(finLogged)
	m.linger(c)
}
