package remote

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// item is something that waits for its turn to be sent.
type item struct {
	c        *conn
	request  *request
	register bool // port
	port     uint16
}

// Sizes in bytes: of a batch, of what a connection may add to it in one turn,
// and of the data in one frame.
const (
	batchSize = 256 << 10
	turnSize  = 128 << 10
	frameSize = 64 << 10
)

// queueConn has the connection looked at: something of it is to be sent. l.mu
// is held.
func (l *Log) queueConn(c *conn) {
	if c.queued || l.link == nil {
		return // resume queues what there is then
	}
	c.queued = true
	if c.since == 0 {
		l.seq++
		c.since = l.seq
	}
	l.enqueue(item{c: c})
}

// enqueue appends to the queue, unless there is no link. l.mu is held.
func (l *Log) enqueue(i item) {
	if l.link != nil {
		l.queue = append(l.queue, i)
		l.rouse()
	}
}

func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// gather fills a batch from the queue: each item gets one turn. l.mu is held.
func (l *Log) gather(b *batch) {
	n := len(l.queue)
	for i := 0; i < n && b.size() < batchSize; i++ {
		it := l.queue[0]
		l.queue[0] = item{}
		l.queue = l.queue[1:]
		switch {
		case it.register:
			b.small = wire.AppendRegister(b.small, it.port)
		case it.c != nil:
			it.c.queued = false
			if l.emit(b, it.c) {
				it.c.since = 0
			} else {
				it.c.queued = true
				l.queue = append(l.queue, it)
			}
		case l.pending[it.request.req] != it.request: // given up
		case l.earlier(it.request.seq):
			l.queue = append(l.queue, it)
		default:
			b.small = append(b.small, it.request.frame...)
		}
	}
	if len(l.queue) == 0 {
		l.queue = nil
	}
}

// earlier reports whether something that was queued before seq is not sent yet.
func (l *Log) earlier(seq uint64) bool {
	for _, it := range l.queue {
		if it.c != nil && it.c.since < seq {
			return true
		}
	}
	return false
}

// emit adds what is to be sent of a connection. It returns false if there is
// more. l.mu is held.
func (l *Log) emit(b *batch, c *conn) bool {
	switch {
	case c.deleted:
		if c.opened {
			b.small = wire.AppendDelete(b.small, c.id)
		}
		return true
	case c.creating, l.fenced(c.meta.Service), !c.opened && l.holding && (c != l.probe || !l.retryOpen):
		return true
	case !c.opened:
		b.small = wire.AppendOpen(b.small, wire.TypeOpen, retryFlag(&l.retryOpen), c.gen, &c.meta)
		c.opened, c.sentGen = true, c.gen
	case c.gen != c.sentGen:
		b.small = wire.AppendOpen(b.small, wire.TypeUpdate, 0, c.gen, &c.meta)
		c.sentGen = c.gen
	}
	all := l.emitData(b, c)
	if !c.holdReads && c.sentReads < c.readEnd {
		c.emitReads(b)
	}
	if c.finished && !c.sentFin && c.sent == c.taken && !c.blocked {
		b.small = wire.AppendFinish(b.small, c.id, c.taken)
		c.sentFin = true
	}
	if at := placeOf(&c.base); at != c.sentBase {
		b.small = wire.AppendRebase(b.small, c.id, &c.base)
		c.sentBase = at
	}
	return all
}

func retryFlag(retry *bool) uint8 {
	if *retry {
		*retry = false
		return wire.FlagRetry
	}
	return 0
}

// emitData adds data that the server would take, as much as a turn may. It
// returns false if there is more of that.
func (l *Log) emitData(b *batch, c *conn) bool {
	to := min(c.taken, l.sendLimit(c))
	for budget := turnSize; !c.blocked && c.sent < to; budget -= frameSize {
		if budget <= 0 {
			return false
		}
		n := min(to-c.sent, frameSize)
		b.small = wire.AppendDataHeader(b.small, retryFlag(&c.retryData), c.id, c.sent, int(n))
		c.data.pieces(c.sent, c.sent+n, b.data)
		c.sent += n
	}
	return true
}

// emitReads adds the reads from sentReads on.
func (c *conn) emitReads(b *batch) {
	frame := wire.Reads{ID: c.id}
	count := uint32(0)
	flush := func() {
		if len(frame.Runs) > 0 {
			b.small = wire.AppendReads(b.small, retryFlag(&c.retryRead), frame)
		}
		frame.Runs, count = frame.Runs[:0], 0
	}
	for i := range c.reads {
		r := &c.reads[i]
		if r.end() <= c.sentReads {
			continue
		}
		skip := max(0, (c.sentReads-r.at)/int64(r.Length))
		left := r.Count - uint32(skip)
		if len(frame.Runs) == wire.MaxRuns || count+left > wire.MaxReads {
			flush()
		}
		if len(frame.Runs) == 0 {
			frame.At = r.at + skip*int64(r.Length)
		}
		frame.Runs = append(frame.Runs, logserver.ReadRun{Length: r.Length, Count: left})
		count += left
		r.mark = c.sent
	}
	flush()
	c.sentReads = c.readEnd
}
