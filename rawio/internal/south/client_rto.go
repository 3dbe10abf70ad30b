package south

// A client takes the delay of an answer for the round-trip time of its path (RFC 6298). One that
// has waited for the log, or for an engine, retransmits later from then on: after up to three times
// the time that it has waited. Its RTO declines with answers, not with time: each prompt answer
// counts for an eighth.

const (
	// engineWait is how long a client may have waited while there was no engine, ms: a quarter of
	// the longest RTO of Linux.
	engineWait = 30_000
	// lingerMax is four times the longest RTO of Linux, ns.
	lingerMax = 480e9
	waitedMax = lingerMax / 4 / 1e6
)

// noteAnswered notes that the client gets an answer for which it has waited since lagAt.
func (m *Machine) noteAnswered(c *Conn) {
	c.waited -= (c.waited + 7) / 8
	if c.lagAt != 0 {
		c.waited = max(c.waited, min(m.millis()-c.lagAt, waitedMax))
	}
}

// noteStall notes that the engine has stood still for a time, in ns: no client was answered meanwhile.
func (m *Machine) noteStall(still int64) {
	m.Conns(func(c *Conn) bool {
		waited := still / 1e6
		if c.lagAt != 0 {
			waited += int64(m.millis() - c.lagAt)
		}
		c.waited = max(c.waited, uint32(min(waited, waitedMax)))
		return true
	})
}

// clientRTO returns an upper bound of the client's retransmission time-out, ns.
func (c *Conn) clientRTO() int64 { return min(4*int64(c.waited)*1e6, lingerMax) }
