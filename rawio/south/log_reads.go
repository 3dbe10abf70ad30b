package south

// reading is a connection whose server may have recorded reads that the log does
// not know of.
type reading struct {
	c   *Conn
	gen uint32
}

// readsPerLook bounds the connections that CopyReads looks at.
const readsPerLook = 256

// noteReads has CopyReads look at a connection whose client has sent something.
func (m *Machine) noteReads(c *Conn) {
	if m.cfg.Lasting && c.wire == nil && !c.is(readsDue) {
		c.set(readsDue)
		m.reading = append(m.reading, reading{c: c, gen: c.gen})
	}
}

// CopyReads tells the log the lengths of reads that server processes have
// recorded since the last call, for a bounded number of connections. It returns
// how many connections had such reads, and how many are to be looked at again: all
// whose server has not read what the client has sent. What a server sends may
// depend on how it has read, and leaves before the log knows of it.
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
			_ = m.log.WriteReads(c.ID, lengths...) // without them recovery reads as it likes
		}
		if total >= c.received {
			c.unset(readsDue)
			continue
		}
		again = append(again, r)
	}
	// Those that were not looked at come first the next time.
	m.reading = append(m.reading[:copy(m.reading, m.reading[n:])], again...)
	return copied, len(m.reading)
}
