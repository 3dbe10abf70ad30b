package storelog

import (
	"math"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
	"github.com/ftnet/ftnet/logserver/internal/store"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// queued is what waits to be written about one connection. Whatever is called
// for the connection before the writer comes is put together here.
type queued struct {
	c         *conn
	state     bool // a State is to be written
	meta      bool // and an upcall is to say so
	deletion  bool // only a deletion is to be written
	pieces    []piece
	off, n    int64 // of the data
	readsFrom int64
	runs      []logserver.ReadRun
}

// item is a record that the writer is to write.
type item struct {
	typ    store.Type
	flags  uint8
	meta   bool // see queued
	c      *conn
	conn   uint64
	off    int64 // as in the record's header
	n      int
	pieces []piece // of data
	// place is where data lies in the writer's body; 0 if it is not to be written from
	// there. sum is its checksum then.
	place int
	sum   uint32
	// inBody tells that it lies there, be it as the payload.
	inBody  bool
	payload []byte // of what else there is
	to      int64  // where reads end
	// start and fin are what a State says.
	start, fin int64
	// seg and pos are where the original of a copy is.
	seg, pos uint32
	// moved, if not nil, is free of deletions when this one is stable.
	moved *segment
	// at is where it was written.
	at uint32
}

// maxRecord is the most payload that a record has: a batch holds four at least.
func (l *Log) maxRecord() int {
	return min(64<<10, (int(batchSize(l.cfg, l.layout))/4-store.RecordCost)&^7)
}

// queuedOf returns what waits about a connection. l.mu is held, as for all below.
func (l *Log) queuedOf(c *conn) *queued {
	if c.queued == nil {
		c.queued = &queued{c: c}
		l.queue = append(l.queue, c.queued)
	}
	return c.queued
}

func (l *Log) queueState(c *conn, meta bool) {
	p := l.queuedOf(c)
	p.state, p.meta = true, p.meta || meta
}

// queueData copies data that follows the end of what was taken.
func (l *Log) queueData(c *conn, data []byte) {
	p := l.queuedOf(c)
	if p.n == 0 {
		p.off = c.taken
	}
	n := int64(len(data))
	record := int64(l.maxRecord())
	more := (p.n+n+record-1)/record - (p.n+record-1)/record
	l.charge(c, n+more*recordCost)
	p.n += n
	c.taken += n
	l.waiting += n
	for len(data) > 0 {
		piece, n := l.memory.add(data)
		data = data[n:]
		if k := len(p.pieces); k > 0 && p.pieces[k-1].b == piece.b && p.pieces[k-1].to == piece.from {
			p.pieces[k-1].to = piece.to
			continue
		}
		p.pieces = append(p.pieces, piece)
	}
}

// queueRead adds a read that follows the last.
func (l *Log) queueRead(c *conn, r logserver.ReadRun) {
	p := l.queuedOf(c)
	if len(p.runs) == 0 {
		p.readsFrom = c.reads.To
		l.charge(c, recordCost)
	}
	table.AppendRun(&p.runs, r)
}

// queueDeletion deletes what the log has of a connection.
func (l *Log) queueDeletion(c *conn) {
	p := l.queuedOf(c)
	l.waiting -= p.n
	l.memory.release(p.pieces)
	*p = queued{c: c, deletion: true}
	if c.begun == 0 && c.inFlight == 0 {
		c.begun = math.MaxUint32 // no segment has anything of it; but its number was used
	}
}

// hurry has the writer write what waits, as soon as it can.
func (l *Log) hurry() {
	l.urgent = true
	l.wake.Signal()
}

// soon has the writer write what waits, with what else there is until then:
// nobody waits for an upcall.
func (l *Log) soon() {
	if l.timed || l.urgent || l.cfg.Manual {
		return
	}
	l.timed = true
	time.AfterFunc(delay, func() {
		l.mu.Lock()
		l.timed = false
		l.hurry()
		l.mu.Unlock()
	})
}

// take moves what waits, the oldest first, to list: about budget bytes of data
// and everything else. l.mu is held.
func (l *Log) take(list []item, budget int64) []item {
	rest := 0
	for i, p := range l.queue {
		l.queue[i] = nil
		before := len(list)
		list, budget = l.takeQueued(list, p, budget)
		p.c.inFlight += int32(len(list) - before)
		if p.n > 0 {
			l.queue[rest] = p
			rest++
		} else {
			p.c.queued = nil
		}
	}
	l.queue = l.queue[:rest]
	return list
}

func (l *Log) takeQueued(list []item, p *queued, budget int64) ([]item, int64) {
	c := p.c
	if p.deletion {
		return append(list, item{typ: store.Deletion, c: c, conn: uint64(c.id), off: int64(c.begun)}), budget
	}
	if p.state {
		b := c.appendState(nil)
		list = append(list, item{
			typ: store.State, c: c, conn: uint64(c.id), payload: b, n: len(b), meta: p.meta, start: c.start, fin: c.fin,
		})
		p.state, p.meta = false, false
	}
	for from, most := p.readsFrom, l.maxRecord()/record.MaxRun; len(p.runs) > 0; {
		runs := p.runs[:min(len(p.runs), most)]
		p.runs = p.runs[len(runs):]
		b, to := record.AppendRuns(nil, runs), from+table.Span(runs)
		list = append(list, item{typ: store.Reads, c: c, conn: uint64(c.id), off: from, n: len(b), payload: b, to: to})
		from = to
	}
	p.runs = nil
	for p.n > 0 && budget > 0 {
		n := min(p.n, int64(l.maxRecord()))
		list = append(list, item{typ: store.Data, c: c, conn: uint64(c.id), off: p.off, n: int(n), pieces: p.cut(n)})
		budget -= n
		p.off, p.n = p.off+n, p.n-n
	}
	return list, budget
}

// cut takes the first n bytes of the pieces.
func (p *queued) cut(n int64) []piece {
	var cut []piece
	for i := range p.pieces {
		piece := &p.pieces[i]
		size := int64(piece.to - piece.from)
		if size > n {
			if n > 0 {
				head := *piece
				head.to = head.from + uint32(n)
				piece.from = head.to
				cut = append(cut[:len(cut):len(cut)], head)
			}
			p.pieces = p.pieces[i:]
			return cut
		}
		n -= size
		cut = p.pieces[: i+1 : i+1]
	}
	p.pieces = nil
	return cut
}

// pending tells whether something waits to be written.
func (l *Log) pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0 || len(l.cleaning) > 0 || l.bodies.waiting() || l.writing
}
