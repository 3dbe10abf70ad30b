package storelog

import "github.com/ftnet/ftnet/logserver"

// loan is where the payload of a body's next record belongs.
type loan struct {
	l     *Log
	c     *conn
	b     *body
	used  int   // of the body
	off   int64 // where the connection's data ended
	bytes []byte
}

// Lend implements logserver.Lender. What is received in a loan is not copied,
// unless the writer takes the body meanwhile. There are no loans if the store has no
// Frames.
func (l *Log) Lend(id logserver.ConnID, n int) logserver.Loan {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil || n <= 0 || c.fin >= 0 || l.bodies.size == 0 || c.queued != nil && c.queued.n > 0 {
		return nil
	}
	if b := l.bodies.now; b != nil && b.loans > 0 {
		return nil
	}
	b := l.bodies.current(n)
	if b == nil {
		return nil
	}
	b.loans++
	at := b.used + l.layout.Head
	b.dirty = max(b.dirty, at+n)
	l.readers.Add(1)
	return &loan{l, c, b, b.used, c.taken, b.mem[at : at+n : at+n]}
}

// Bytes implements logserver.Loan.
func (o *loan) Bytes() []byte { return o.bytes }

// Commit implements logserver.Loan.
func (o *loan) Commit(n int) (int, error) {
	return o.l.append(o.c.id, o.off, o.bytes[:n], o)
}

// begins reports whether the next data of c that is placed in a body belongs
// where the loan is. Log.mu is held.
func (o *loan) begins(c *conn) bool {
	return o.c == c && o.off == c.taken && o.b == o.l.bodies.now && o.used == o.b.used
}

// Return implements logserver.Loan.
func (o *loan) Return() {
	o.l.mu.Lock()
	if o.b.loans--; o.b.loans == 0 && o.b.done {
		o.l.bodies.release(o.b)
	}
	o.l.mu.Unlock()
	o.l.readers.Done()
}
