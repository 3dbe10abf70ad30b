package logserver

// Loan is memory of a log that waits for a connection's next bytes; see
// Lender. The zero value is none.
type Loan struct {
	// Bytes is where the bytes that follow the end of the data belong.
	Bytes []byte
	// Return ends the loan. It must be called once, unless Bytes is nil.
	Return func()
}

// Lender is what a Log is besides if Write need not copy: its caller receives
// the client's bytes where they are to stay, and then tells Write about them.
type Lender interface {
	// Lend returns n bytes of memory behind the end of the connection's data,
	// or the zero Loan if there are not so many in one piece. It is no error if
	// the connection is unknown.
	//
	// The borrower may write to the memory until Return is called. Nothing of
	// it is in the log until Write is given a slice that begins where the data
	// ends, which then is not copied. Meanwhile all writes to the connection
	// are to be the borrower's. Delete and Discard may be called; Close waits
	// for Return.
	Lend(id ConnID, n int) Loan
}

var _ Lender = (*Memory)(nil)

// Lend implements Lender.
func (m *Memory) Lend(id ConnID, n int) Loan {
	c, err := m.lock(id)
	if err != nil {
		return Loan{}
	}
	defer c.mu.Unlock()
	last := len(c.extents) - 1
	if last < 0 || c.finished {
		return Loan{}
	}
	e := c.extents[last]
	room := e.bytes()[c.end-e.off:]
	if n <= 0 || n > len(room) {
		return Loan{}
	}
	c.lent = max(c.lent, c.end+int64(n))
	m.use(c)
	return Loan{Bytes: room[:n:n], Return: func() { m.unuse(c) }}
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
