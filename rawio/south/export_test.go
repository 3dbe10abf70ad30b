package south

import (
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

// What the core takes for retransmissions that the tap does not see, also if they are slow.
const (
	MissingAfter       = time.Duration(missingAfter)
	MissingAnswers     = missingAnswers
	MissingSlowAfter   = time.Duration(missingSlowAfter)
	MissingSlowAnswers = missingSlowAnswers
)

// LookAway keeps the core from looking at slots without an event.
func (m *Machine) LookAway() { m.scan.at = 1 << 62 }

// Rolls is how many roll-forwards the core believes to be under way.
func (m *Machine) Rolls() int { return m.rolling }

// GoesUnprotected reports whether the core has let a SYN-ACK go whose connection is not
// protected, which it tells when the client has answered.
func (m *Machine) GoesUnprotected(f segment.Flow) bool {
	e := m.syns.get(f)
	return e != nil && e.why != ""
}

// Enter changes a connection's state, if that is possible.
func (m *Machine) Enter(c *Conn, to State) bool { return m.enter(c, to) }
