package south

import (
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// What the core takes for retransmissions that the tap does not see, also if they are slow.
const (
	MissingAfter       = time.Duration(missingAfter)
	MissingAnswers     = missingAnswers
	MissingSlowAfter   = time.Duration(missingSlowAfter)
	MissingSlowAnswers = missingSlowAnswers
)

// Handshake is what the log is told of how a connection with these first numbers began.
func Handshake(irs, iss uint32) []byte {
	a := agreed{irs: irs, iss: iss, flags: segment.SYN}
	return a.encode()
}

// Base returns the connection's base.
func (c *Conn) Base() Base { return c.start() }

// Rebase moves the base of a connection.
func (m *Machine) Rebase(c *Conn, b logserver.Base) error { return m.rebase(c, b) }

// LookAway keeps the core from looking at slots of which no event tells.
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
