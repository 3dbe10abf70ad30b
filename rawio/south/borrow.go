package south

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// borrowed is memory of the log where the bytes belong that follow a connection's data at off.
type borrowed struct {
	loan logserver.Loan
	c    *Conn
	off  int64
	full bool // with the payload of the segment that is being looked at
}

// Borrow has the log lend n bytes of memory for the next payload of a connection whose bytes
// go to the log's end as they arrive. It reports false if it is not one, or the log lends
// none. GiveBack must follow, and between them nothing but Segment and Landed.
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

// Landed is Segment for a payload that lies at the beginning of what Borrow has returned.
func (m *Machine) Landed(s *segment.Segment, t int64) {
	m.borrowed.full = true
	m.Segment(s, t)
	m.borrowed.full = false
}

// landed returns the loan if the payload that is being looked at, which belongs at off in the
// connection's stream, lies where the log is to keep it; else nil.
func (m *Machine) landed(c *Conn, off int64) logserver.Loan {
	if b := &m.borrowed; b.full && b.c == c && b.off == off && c.received == off {
		return b.loan
	}
	return nil
}
