package memory

import "github.com/ftnet/ftnet/logserver"

var _ logserver.Lender = (*Log)(nil)

// loan is room in a connection's last chunk.
type loan struct {
	m     *Log
	c     *conn
	chunk chunk
	off   int64 // where it begins in the connection's stream
	bytes []byte
}

// Lend implements logserver.Lender.
func (m *Log) Lend(id logserver.ConnID, n int) logserver.Loan {
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
	return &loan{m, c, e.chunk, c.end, room[:n:n]}
}

func (l *loan) Bytes() []byte { return l.bytes }

func (l *loan) Return() { l.m.unuse(l.c) }

func (l *loan) Commit(n int) (int, error) { return l.m.write(l.c.id, l.off, l.bytes[:n], l) }

// begins reports whether the data of c ends where the loan begins still, so that
// it can grow over what the borrower has put there. c.mu is held.
func (l *loan) begins(c *conn) bool {
	last := len(c.extents) - 1
	return l.c == c && l.off == c.end && last >= 0 && c.extents[last].chunk == l.chunk && !c.finished
}

// use keeps the connection's chunks from being freed: they are used outside
// its lock. c.mu is held.
func (m *Log) use(c *conn) {
	c.users++
	m.busy.Add(1)
}

// unuse ends use and frees what was given up meanwhile. c.mu is not held.
func (m *Log) unuse(c *conn) {
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
