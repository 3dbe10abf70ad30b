package pebblelog

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
)

// readLog is a connection's recorded reads, from the offset from on.
type readLog struct {
	from int64
	runs []logserver.ReadRun
	// fresh is what the next batch appends, unless rewrite is set: then the
	// batch replaces all records by runs.
	fresh   []logserver.ReadRun
	rewrite bool
	seq     int64 // of the next record
}

func appendRead(runs []logserver.ReadRun, length, count uint32) []logserver.ReadRun {
	if n := len(runs); n > 0 && runs[n-1].Length == length && runs[n-1].Count <= math.MaxUint32-count {
		runs[n-1].Count += count
		return runs
	}
	return append(runs, logserver.ReadRun{Length: length, Count: count})
}

// trim drops the reads below start and shortens the one that straddles it.
func (l *readLog) trim(start int64) {
	for l.from < start && len(l.runs) > 0 {
		run := l.runs[0]
		whole := uint32(min((start-l.from)/int64(run.Length), int64(run.Count)))
		l.from += int64(whole) * int64(run.Length)
		l.runs = l.runs[1:]
		if whole == run.Count {
			continue
		}
		left := run.Count - whole
		var rest []logserver.ReadRun
		if cut := uint32(start - l.from); cut > 0 {
			rest = append(rest, logserver.ReadRun{Length: run.Length - cut, Count: 1})
			l.from = start
			left--
		}
		if left > 0 {
			rest = append(rest, logserver.ReadRun{Length: run.Length, Count: left})
		}
		l.runs = append(rest, l.runs...)
		break
	}
}

// encodeReads writes where the reads begin and their runs.
func encodeReads(from int64, runs []logserver.ReadRun) []byte {
	b := binary.AppendVarint(nil, from)
	for _, r := range runs {
		b = binary.AppendUvarint(b, uint64(r.Length))
		b = binary.AppendUvarint(b, uint64(r.Count))
	}
	return b
}

func decodeReads(b []byte) (from int64, runs []logserver.ReadRun) {
	r := &reader{b: b}
	for from = r.varint(); len(r.b) > 0 && !r.bad; {
		runs = append(runs, logserver.ReadRun{Length: uint32(r.uvarint()), Count: uint32(r.uvarint())})
	}
	return from, runs
}

// WriteReads implements logserver.Log.
func (l *Log) WriteReads(id logserver.ConnID, lengths ...uint32) error {
	if slices.Contains(lengths, 0) {
		return fmt.Errorf("%w: a read of length 0", logserver.ErrInvalid)
	}
	return l.change(id, func(c *conn) error {
		for _, n := range lengths {
			if !l.take(runCost) {
				return l.full()
			}
			c.reads.runs = appendRead(c.reads.runs, n, 1)
			c.reads.fresh = appendRead(c.reads.fresh, n, 1)
			if c.reads.from < c.start {
				c.reads.trim(c.start)
				c.reads.rewrite = true
			}
			c.charged += runCost
			l.giveReads(c)
		}
		c.touch()
		return nil
	})
}

// giveReads returns what runs that were joined or trimmed were charged for.
func (l *Log) giveReads(c *conn) {
	if over := c.charged - int64(len(c.reads.runs))*runCost; over > 0 {
		c.charged -= over
		l.used -= over
	}
}

// Reads implements logserver.Log.
func (l *Log) Reads(id logserver.ConnID) ([]logserver.ReadRun, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(c.reads.runs), nil
}
