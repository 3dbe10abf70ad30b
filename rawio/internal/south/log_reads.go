package south

// reading is a connection whose server may have recorded reads that are not in the log.
type reading struct {
	c   *Conn
	gen uint32
}

// readsPerLook bounds the connections that one call of CopyReads looks at.
const readsPerLook = 256

// noteReads makes CopyReads look at a connection whose client has sent something.
func (m *Machine) noteReads(c *Conn) {
	if m.cfg.Lasting && c.wire == nil && !c.is(readsDue) {
		c.set(readsDue)
		m.reading = append(m.reading, reading{c: c, gen: c.gen})
	}
}

// CopyReads writes the lengths of reads that server processes have
// recorded since the last call to the log, for a bounded number of connections. It returns
// how many connections had such reads, and how many are to be looked at again: all
// whose server has not read everything that the client has sent. What a server sends may
// depend on how it has read, and can leave before the log has those lengths.
func (m *Machine) CopyReads() (copied, left int) {
	n := min(len(m.reading), readsPerLook)
	var again []reading
	for _, r := range m.reading[:n] {
		c := r.c
		if c.gen != r.gen || m.BySlot(c.slot) != c {
			continue
		}
		lengths, total := m.record.NewReads(c.slot)
		if len(lengths) > 0 {
			copied++
			_ = m.log.WriteReads(c.ID, lengths...) // without them a recovery replays reads of other lengths
		}
		if total >= c.received {
			c.unset(readsDue)
			continue
		}
		again = append(again, r)
	}
	// Those that were not looked at come first next time.
	m.reading = append(m.reading[:copy(m.reading, m.reading[n:])], again...)
	return copied, len(m.reading)
}
