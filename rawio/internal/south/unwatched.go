package south

import "github.com/ftnet/ftnet/internal/reason"

// Somebody may remove the program by which the gate notes how the sockets of unmodified
// servers are released. Then a crash shows only in a FIN or RST that is sent at once, or in
// the end of the server's main process. Until the program is attached again, connections of
// such servers are not protected; afterwards they are, unless they were released meanwhile.

// Unwatched tells the core that releases are not noted, and why.
func (m *Machine) Unwatched(why string) {
	m.readClock()
	again := m.unwatched != ""
	m.unwatched = why
	if again {
		return
	}
	m.Conns(func(c *Conn) bool {
		if m.handshakeComplete(c) {
			m.reportUnwatched(c)
		}
		return true
	})
}

// Watched tells the core that releases are noted again.
func (m *Machine) Watched() { m.unwatched = "" }

// IsUnwatched reports whether the connection is not protected because its release would not be noted.
func (m *Machine) IsUnwatched(c *Conn) bool {
	return m.unwatched != "" && c.wire != nil && c.mayBeExposed()
}

// reportUnwatched reports a connection that is not protected for that reason.
func (m *Machine) reportUnwatched(c *Conn) {
	if m.IsUnwatched(c) {
		m.reportUnprotected(c, reason.Unwatched, m.unwatched)
	}
}
