package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// borrowed is memory of the log for the bytes at off, the end of a connection's data.
type borrowed struct {
	loan logserver.Loan
	c    *Conn
	off  int64
	full bool // it holds the payload of the present segment
}

// Borrow borrows n bytes of memory from the log, for the next payload of a connection whose data arrives
// in order. It reports false if the connection's does not, or the log lends
// none. GiveBack must follow; in between only Segment and Landed may be called.
func (m *Machine) Borrow(f segment.Flow, n int) ([]byte, bool) {
	lender, ok := m.log.(logserver.Lender)
	c := m.conns.get(f)
	if !ok || c == nil || c.state != Established || c.ahead != nil || c.fin >= 0 || c.is(limited) {
		return nil, false
	}
	loan := lender.Lend(c.ID, n)
	if loan == nil {
		return nil, false
	}
	m.borrowed = borrowed{loan: loan, c: c, off: c.received}
	return loan.Bytes(), true
}

// GiveBack ends what Borrow began.
func (m *Machine) GiveBack() {
	m.borrowed.loan.Return()
	m.borrowed = borrowed{}
}

// Landed is Segment for a payload that lies at the beginning of the borrowed memory.
func (m *Machine) Landed(s *segment.Segment, t int64) {
	m.borrowed.full = true
	m.Segment(s, t)
	m.borrowed.full = false
}

// landed returns the loan if the present payload, which belongs at off in the
// connection's stream, lies where the log is to keep it; else nil.
func (m *Machine) landed(c *Conn, off int64) logserver.Loan {
	if b := &m.borrowed; b.full && b.c == c && b.off == off && c.received == off {
		return b.loan
	}
	return nil
}
