package logd

import (
	"math"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// learnReadEnd finds out where a connection's recorded reads end. They begin at
// the start of the data: rebase sees to it that none end below.
func (s *Server) learnReadEnd(c *conn) (end, sent int64) {
	c.mu.Lock()
	end, sent, start := c.readEnd, c.readSent, c.start
	c.mu.Unlock()
	if end >= 0 {
		return end, sent
	}
	runs, err := s.store.Reads(c.id)
	if err != nil {
		return start, start
	}
	for end = start; len(runs) > 0; runs = runs[1:] {
		end += int64(runs[0].Length) * int64(runs[0].Count)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readEnd < 0 {
		c.readEnd, c.readSent = end, end
	}
	return c.readEnd, c.readSent
}

// reads records those reads of a frame that the store does not have.
func (x *session) reads(f wire.Frame) error {
	r, err := wire.ParseReads(f)
	if err != nil {
		return err
	}
	if count := total(r.Runs); count > wire.MaxReads {
		return f.Malformed()
	}
	c := x.mine(r.ID)
	if c == nil {
		return nil
	}
	defer c.svc.mu.RUnlock()
	c.mu.Lock()
	if f.Flags&wire.FlagRetry != 0 {
		c.readsRefused = false
	}
	refused := c.readsRefused
	c.mu.Unlock()
	if refused {
		return nil
	}
	end, _ := x.srv.learnReadEnd(c)
	if r.At > end {
		// What the client has dropped as recorded is gone from the store.
		err = x.srv.fillReads(c, r.At)
		end = r.At
	}
	list := make([]uint32, 0, 256)
	at := r.At
	for _, run := range r.Runs {
		for n := run.Count; n > 0 && err == nil; n-- {
			if at > math.MaxInt64-int64(run.Length) {
				return f.Malformed()
			}
			if skip := min((end-at)/int64(run.Length), int64(n)); skip > 0 {
				n -= uint32(skip) - 1 // this loop counts one
				at += skip * int64(run.Length)
				continue
			}
			list = append(list, uint32(at+int64(run.Length)-max(at, end)))
			at += int64(run.Length)
			if len(list) == cap(list) {
				err = x.srv.record(c, list)
				list, end = list[:0], at
			}
		}
	}
	if err == nil && len(list) > 0 {
		err = x.srv.record(c, list)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.readsRefused, c.readEnd = true, -1
		c.tell |= wire.StateReadsRefused
	} else {
		c.readSent = max(c.readSent, at)
	}
	c.news()
	return nil
}

// total is how many reads the runs are.
func total(runs []logserver.ReadRun) (n uint64) {
	for _, r := range runs {
		n += uint64(r.Count)
	}
	return n
}

// record adds reads.
func (s *Server) record(c *conn, lengths []uint32) error {
	if err := s.store.WriteReads(c.id, lengths...); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range lengths {
		if c.readEnd >= 0 {
			c.readEnd += int64(n)
		}
	}
	return nil
}

// fillReads adds reads up to an offset: which they were is not known, or does
// not matter any more.
func (s *Server) fillReads(c *conn, to int64) error {
	for at, _ := s.learnReadEnd(c); at < to; {
		n := min(to-at, math.MaxUint32)
		if err := s.record(c, []uint32{uint32(n)}); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// rebase moves a connection's base. The reads of what is forgotten that were not recorded yet are recorded
// as one first: so that another process can see in the store where its reads end.
// The connection's service is read-locked.
func (s *Server) rebase(c *conn, b logserver.Base) error {
	c.mu.Lock()
	beyond, nothing := b.In > c.stable, !b.Beyond(logserver.Base{In: c.start, Out: c.out})
	c.mu.Unlock()
	switch {
	case beyond:
		return logserver.ErrGap
	case nothing:
		return nil
	}
	_ = s.fillReads(c, b.In) // without room for it there is no room for reads
	if err := s.store.Rebase(c.id, b); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start, c.out = b.In, b.Out
	return nil
}
