package logserver

import (
	"fmt"
	"math"
	"slices"
)

// readLog is a connection's recorded reads, told as runs.
type readLog struct {
	// from is the offset where runs[0] begins. It lies below the start of the
	// data only while runs is empty.
	from int64
	runs []ReadRun
	paid int // how many runs the quota was charged for
}

const runCost = 8 // bytes of a ReadRun

func (l *readLog) cost() int64 { return int64(l.paid) * runCost }

// add appends one read.
func (l *readLog) add(length uint32) {
	if n := len(l.runs); n > 0 && l.runs[n-1].Length == length && l.runs[n-1].Count < math.MaxUint32 {
		l.runs[n-1].Count++
		return
	}
	l.runs = append(l.runs, ReadRun{Length: length, Count: 1})
}

// trim drops the reads below start and shortens the one that straddles it.
func (l *readLog) trim(start int64) {
	n := 0
	for ; n < len(l.runs) && l.from < start; n++ {
		run := l.runs[n]
		whole := min((start-l.from)/int64(run.Length), int64(run.Count))
		l.from += whole * int64(run.Length)
		if whole == int64(run.Count) {
			continue
		}
		rest := []ReadRun{{run.Length, run.Count - uint32(whole)}}
		if cut := uint32(start - l.from); cut > 0 {
			rest = []ReadRun{{run.Length - cut, 1}, {run.Length, rest[0].Count - 1}}
			if rest[1].Count == 0 {
				rest = rest[:1]
			}
			l.from = start
		}
		l.runs = slices.Replace(l.runs, 0, n+1, rest...)
		return
	}
	l.runs = slices.Delete(l.runs, 0, n)
}

// WriteReads implements Log. Runs are charged to the total quota.
func (m *Memory) WriteReads(id ConnID, lengths ...uint32) error {
	if slices.Contains(lengths, 0) {
		return fmt.Errorf("%w: a read of length 0", ErrInvalid)
	}
	c, err := m.lock(id)
	if err != nil {
		return err
	}
	if len(lengths) > 0 {
		err = m.addReads(c, lengths)
		c.touch()
	}
	c.mu.Unlock()
	m.space.check()
	return err
}

// addReads records as many of the reads as the quota allows. c.mu is held.
func (m *Memory) addReads(c *memConn, lengths []uint32) error {
	if c.reads == nil {
		c.reads = new(readLog)
	}
	l := c.reads
	for _, length := range lengths {
		if len(l.runs) >= l.paid {
			more := max(4, len(l.runs))
			if !m.space.take(int64(more) * runCost) {
				return &QuotaError{ScopeTotal, m.cfg.QuotaTotal}
			}
			l.paid += more
			l.runs = slices.Grow(l.runs, more)
		}
		l.add(length)
		if l.from < c.start {
			l.trim(c.start)
		}
	}
	return nil
}

// Reads implements Log.
func (m *Memory) Reads(id ConnID) ([]ReadRun, error) {
	c, err := m.lock(id)
	if err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	if c.reads == nil {
		return nil, nil
	}
	return slices.Clone(c.reads.runs), nil
}
