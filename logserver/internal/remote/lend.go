package remote

import "github.com/ftnet/ftnet/logserver"

var _ logserver.Lender = (*Log)(nil)

// loan is room in a chunk of a connection's buffer, or in one that becomes its last.
type loan struct {
	l     *Log
	c     *conn
	k     *chunk
	off   int64 // where the connection's data ended
	bytes []byte
}

// Lend implements logserver.Lender: what is received in the loan is sent from
// there, without having been copied.
func (l *Log) Lend(id logserver.ConnID, n int) logserver.Loan {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	if err != nil || c.finished || n <= 0 || n > 1<<maxShift || c.data.loan != nil {
		return nil
	}
	if room, _ := l.room(c); room < int64(n) {
		return nil
	}
	k := c.data.lend(&l.spare, c.taken, n)
	return &loan{l, c, k, c.taken, k.room()[:n:n]}
}

// Bytes implements logserver.Loan.
func (o *loan) Bytes() []byte { return o.bytes }

// Commit implements logserver.Loan.
func (o *loan) Commit(n int) (int, error) { return o.l.append(o.c.id, o.off, o.bytes[:n], o) }

// begins reports whether the data of c ends where the loan begins still. Log.mu is held.
func (o *loan) begins(c *conn) bool { return o.c == c && o.off == c.taken }

// Return implements logserver.Loan.
func (o *loan) Return() {
	o.l.mu.Lock()
	defer o.l.mu.Unlock()
	o.c.data.loan, o.k.lent = nil, false
	if o.k.loose {
		o.k.loose = false
		o.l.give(o.k)
	}
}
