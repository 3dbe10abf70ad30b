package south

// A client takes the time that an answer has needed for the round-trip time of its path
// (RFC 6298): one that has waited for the log, or for an engine, repeats itself later from
// then on, up to three times as late as it has waited. It remembers that, not for some
// time, but for some answers: each one that comes soon counts for an eighth.

const (
	// engineWait is how long a client may have waited while there was no engine, ms. Four
	// times that is the longest time-out of Linux.
	engineWait = 30_000
	// lingerMost is four times the longest time-out of Linux, ns.
	lingerMost = 480e9
	waitedMost = lingerMost / 4 / 1e6
)

// answered takes note that the client gets an answer for which it has waited since lagAt.
func (m *Machine) answered(c *Conn) {
	c.waited -= (c.waited + 7) / 8
	if c.lagAt != 0 {
		c.waited = max(c.waited, min(m.millis()-c.lagAt, waitedMost))
	}
}

// stoodStill takes note that the engine has stood still for a time, in ns, in which nobody
// has got an answer.
func (m *Machine) stoodStill(still int64) {
	m.Conns(func(c *Conn) bool {
		waited := still / 1e6
		if c.lagAt != 0 {
			waited += int64(m.millis() - c.lagAt)
		}
		c.waited = max(c.waited, uint32(min(waited, waitedMost)))
		return true
	})
}

// patience is after what time the client has repeated what was not answered, in ns.
func (c *Conn) patience() int64 { return min(4*int64(c.waited)*1e6, lingerMost) }
