package memory

import (
	"fmt"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// reads are a connection's recorded reads.
type reads struct {
	table.Reads
	paid int // how many runs the quota was charged for
}

const runCost = 8 // bytes of a ReadRun

func (r *reads) cost() int64 { return int64(r.paid) * runCost }

// WriteReads implements logserver.Log. Runs are charged to the total quota.
func (m *Log) WriteReads(id logserver.ConnID, lengths ...uint32) error {
	if slices.Contains(lengths, 0) {
		return fmt.Errorf("%w: a read of length 0", logserver.ErrInvalid)
	}
	c, err := m.lock(id)
	if err != nil {
		return err
	}
	if len(lengths) > 0 {
		err = m.addReads(c, lengths)
		c.info.Touch()
	}
	c.mu.Unlock()
	m.space.check()
	return err
}

// addReads records as many of the reads as the quota allows. c.mu is held.
func (m *Log) addReads(c *conn, lengths []uint32) error {
	if c.reads == nil {
		c.reads = new(reads)
	}
	r := c.reads
	for _, length := range lengths {
		if len(r.Runs) >= r.paid {
			more := max(4, len(r.Runs))
			if !m.space.take(int64(more) * runCost) {
				return m.space.full()
			}
			r.paid += more
			r.Runs = slices.Grow(r.Runs, more)
		}
		r.Add(logserver.ReadRun{Length: length, Count: 1})
		if r.From < c.start {
			r.Trim(c.start)
		}
	}
	return nil
}

// Reads implements logserver.Log.
func (m *Log) Reads(id logserver.ConnID) ([]logserver.ReadRun, error) {
	c, err := m.lock(id)
	if err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	if c.reads == nil {
		return nil, nil
	}
	return slices.Clone(c.reads.Runs), nil
}
