package remote

import (
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// conn is a connection as this end knows it: what the caller wants of it, what
// of that was sent, and what the server has said. Nothing is queued but the
// connection itself: what is to be sent follows from the difference, also after
// a reconnect. Log.mu guards it.
type conn struct {
	id       logserver.ConnID
	own      bool // opened by this log, which can open it again
	creating bool // the server has not agreed to the number yet
	deleted  bool
	queued   bool
	since    uint64 // when it was queued with what is not sent yet

	// What the caller wants.
	meta     logserver.Meta
	gen      uint32 // of meta; 0 if the caller has told none
	base     logserver.Base
	ownBase  bool // base was given by Rebase, and has its State
	taken    int64
	finished bool
	readEnd  int64
	reads    []run  // those that may have to be sent again
	data     buffer // from stable to taken, and a little below

	// What was sent over this link.
	opened    bool // or the server had it
	sentGen   uint32
	sent      int64
	sentReads int64
	sentFin   bool
	sentBase  place

	// What the server has said.
	known     bool // it has the connection
	stable    int64
	stableGen uint32
	finStable bool
	readsEnd  int64 // of those that it has recorded
	limit     int64 // up to which it would take data; -1 if not told
	// After a refusal.
	blocked, retryData   bool
	holdReads, retryRead bool
}

// place is where a base lies in the two streams.
type place struct{ in, out int64 }

func placeOf(b *logserver.Base) place { return place{b.In, b.Out} }

// run is some reads of equal length that follow each other.
type run struct {
	logserver.ReadRun
	at   int64
	mark int64 // the data below was sent before the run was
}

func (r *run) end() int64 { return r.at + int64(r.Length)*int64(r.Count) }

// addRead records one read.
func (c *conn) addRead(length uint32) (added bool) {
	n := len(c.reads)
	if n > 0 && c.reads[n-1].Length == length && c.reads[n-1].end() == c.readEnd && c.reads[n-1].Count < wire.MaxReads {
		c.reads[n-1].Count++
		c.reads[n-1].mark = math.MaxInt64
	} else {
		c.reads = append(c.reads, run{logserver.ReadRun{Length: length, Count: 1}, c.readEnd, math.MaxInt64})
		added = true
	}
	c.readEnd += int64(length)
	return added
}

// readsFrom returns the recorded reads beyond an offset.
func (c *conn) readsFrom(off int64) (runs []logserver.ReadRun) {
	for i := range c.reads {
		r := &c.reads[i]
		if r.end() <= off {
			continue
		}
		whole := r.Count
		if below := off - r.at; below > 0 {
			whole -= uint32(below / int64(r.Length))
			if cut := below % int64(r.Length); cut > 0 {
				runs = append(runs, logserver.ReadRun{Length: r.Length - uint32(cut), Count: 1})
				whole--
			}
		}
		if whole > 0 {
			runs = append(runs, logserver.ReadRun{Length: r.Length, Count: whole})
		}
	}
	return runs
}

// dropReads forgets the reads that are stable: those that the server recorded
// before data which is stable by now.
func (c *conn) dropReads() {
	n := 0
	for n < len(c.reads) && c.reads[n].end() <= c.readsEnd && c.stable > c.reads[n].mark {
		n++
	}
	c.reads = slices.Delete(c.reads, 0, n)
}

// sendLimit is how far the server would take data now, as far as is known.
func (l *Log) sendLimit(c *conn) int64 {
	switch {
	case c.limit >= 0:
		return c.limit
	case l.server.Limit > 0:
		return c.base.In + max(0, l.server.Limit-l.server.Used)
	}
	return math.MaxInt64
}

// room is how many bytes Write takes, and what the error says when it takes no
// more.
func (l *Log) room(c *conn) (int64, *logserver.QuotaError) {
	room, full := l.sendLimit(c)-c.taken, &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: l.server.Limit}
	if left := l.cfg.Buffer - l.buffered; left < room {
		room, full = left, &logserver.QuotaError{Scope: logserver.ScopeBuffer, Limit: l.cfg.Buffer}
	}
	return max(room, 0), full
}

// unsettled reports whether something of the connection is not known to be in
// the log.
func (c *conn) unsettled() bool {
	return c.stable < c.taken || c.gen != c.stableGen || c.finished && !c.finStable || c.readsEnd < c.readEnd || !c.known
}
