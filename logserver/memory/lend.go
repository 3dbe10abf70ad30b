package logserver

var _ Lender = (*Memory)(nil)

// memLoan is room in a connection's last chunk.
type memLoan struct {
	m     *Memory
	c     *memConn
	chunk chunk
	off   int64 // where it begins in the connection's stream
	bytes []byte
}

// Lend implements Lender.
func (m *Memory) Lend(id ConnID, n int) Loan {
	c, err := m.lock(id)
	if err != nil {
		return nil
	}
	defer c.mu.Unlock()
	last := len(c.extents) - 1
	if last < 0 || c.finished {
		return nil
	}
	e := c.extents[last]
	room := e.bytes()[c.end-e.off:]
	if n <= 0 || n > len(room) {
		return nil
	}
	c.lent = max(c.lent, c.end+int64(n))
	m.use(c)
	return &memLoan{m, c, e.chunk, c.end, room[:n:n]}
}

func (l *memLoan) Bytes() []byte { return l.bytes }

func (l *memLoan) Return() { l.m.unuse(l.c) }

func (l *memLoan) Commit(n int) (int, error) { return l.m.write(l.c.id, l.off, l.bytes[:n], l) }

// begins reports whether the data of c ends where the loan begins still, so that
// it can grow over what the borrower has put there. c.mu is held.
func (l *memLoan) begins(c *memConn) bool {
	last := len(c.extents) - 1
	return l.c == c && l.off == c.end && last >= 0 && c.extents[last].chunk == l.chunk && !c.finished
}

// use keeps the connection's chunks from being freed: they are used outside
// its lock. c.mu is held.
func (m *Memory) use(c *memConn) {
	c.users++
	m.busy.Add(1)
}

// unuse ends use and frees what was given up meanwhile. c.mu is not held.
func (m *Memory) unuse(c *memConn) {
	c.mu.Lock()
	c.users--
	var freed []dirty
	if c.users == 0 && c.unread != nil {
		freed, c.unread = *c.unread, nil
	}
	c.mu.Unlock()
	m.wiper.wipe(freed)
	m.busy.Done()
}
