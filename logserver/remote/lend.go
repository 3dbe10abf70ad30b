package remote

import "github.com/ftnet/ftnet/logserver"

var _ logserver.Lender = (*Log)(nil)

// Lend implements logserver.Lender: what is received in the loan is sent from
// there, without having been copied.
func (l *Log) Lend(id logserver.ConnID, n int) logserver.Loan {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.change(id)
	if err != nil || c.finished || n <= 0 || n > 1<<maxShift || c.data.loan != nil {
		return logserver.Loan{}
	}
	if room, _ := l.room(c); room < int64(n) {
		return logserver.Loan{}
	}
	k := c.data.lend(&l.spare, c.taken, n)
	return logserver.Loan{Bytes: k.room()[:n:n], Return: func() { l.endLoan(c, k) }}
}

func (l *Log) endLoan(c *conn, k *chunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.data.loan, k.lent = nil, false
	if k.loose {
		k.loose = false
		l.give(k)
	}
}
