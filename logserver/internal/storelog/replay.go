package storelog

import (
	"cmp"
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
	"github.com/ftnet/ftnet/logserver/internal/store"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// replay gathers records, in any order but for States, whose last counts, and
// makes connections of them. What a record says does not depend on those before
// it, so that copies may stand anywhere.
type replay struct {
	l       *Log
	conns   map[uint64]*replayed
	deleted map[uint64]bool
	hurt    map[uint64]bool
}

// replayed is what was found of a connection.
type replayed struct {
	state       *connState
	seg, pos, n uint32
	begun       uint32
	modified    int64
	data        []extent
	reads       []replayedReads
}

type replayedReads struct {
	readExtent
	runs []logserver.ReadRun
}

func newReplay(l *Log) *replay {
	return &replay{l: l, conns: make(map[uint64]*replayed), deleted: make(map[uint64]bool), hurt: make(map[uint64]bool)}
}

// Segment implements store.Visitor.
func (r *replay) Segment(id uint32, head []byte) {
	r.l.numbers.learn(head)
	r.l.segment(id)
}

// Record implements store.Visitor.
func (r *replay) Record(f *store.Found) {
	r.l.numbers.settle(logserver.ConnID(f.Conn))
	if !f.Damaged && r.record(f) {
		return
	}
	r.l.counters.lostRecords.Add(1)
	r.hurt[f.Conn] = true
	r.l.cfg.Warn("a record in the log is damaged", "segment", r.l.store.Name(f.Segment), "position", f.At,
		"type", f.Type.String(), "connection", f.Conn, "offset", f.Offset, "bytes", f.N)
}

// record takes one record, and returns false if it makes no sense.
func (r *replay) record(f *store.Found) bool {
	if f.Type == store.Deletion {
		r.deleted[f.Conn] = true
		delete(r.conns, f.Conn)
		s := r.l.segment(f.Segment)
		s.deletions = append(s.deletions, newDeletion(f.Conn, f.Offset, f.Segment))
		return true
	}
	if r.deleted[f.Conn] {
		return true
	}
	c := r.conns[f.Conn]
	if c == nil {
		c = &replayed{begun: f.Segment}
		r.conns[f.Conn] = c
	}
	if f.Flags&store.Copy == 0 {
		c.modified = max(c.modified, f.Time)
	}
	switch f.Type {
	case store.Data:
		if f.Offset < 0 || f.N == 0 || f.Offset > math.MaxInt64-int64(f.N) {
			return false
		}
		c.data = append(c.data, extent{f.Offset, f.Segment, f.At, f.N})
	case store.Reads:
		in := record.NewCursor(f.Payload)
		runs := in.Runs(math.MaxInt)
		to := f.Offset + table.Span(runs)
		if !in.Done() || f.Offset < 0 || to <= f.Offset {
			return false
		}
		c.reads = append(c.reads, replayedReads{readExtent{f.Offset, to, f.Segment, f.At, f.N}, runs})
	case store.State:
		state, err := parseState(f.Payload)
		if err != nil || uint64(state.Meta.ID) != f.Conn {
			return false
		}
		c.state, c.seg, c.pos, c.n = state, f.Segment, f.At, f.N
		c.modified = state.Meta.Modified.UnixNano()
		r.l.numbers.opened = max(r.l.numbers.opened, state.Number)
	}
	return true
}

// finish makes connections of what was gathered.
func (r *replay) finish() error {
	var conns []*conn
	var void []extent
	orphans := 0
	for id, found := range r.conns {
		if found.state == nil {
			orphans++ // deleted long ago, or its State is damaged
			continue
		}
		c, rest := r.conn(id, found)
		conns = append(conns, c)
		void = append(void, rest...)
	}
	if r.l.counters.lostRecords.Load() > 0 {
		r.l.counters.lostConns.Add(int64(orphans))
	}
	r.l.counters.lostConns.Add(int64(len(r.hurt)))
	slices.SortFunc(conns, func(a, b *conn) int { return cmp.Compare(a.number, b.number) })
	r.l.install(conns)
	places := make([]store.Place, len(void))
	for i, e := range void {
		places[i] = store.Place{Segment: e.seg, At: e.pos}
	}
	return r.l.store.Void(places)
}

// conn makes a connection, and returns the records that cannot be used: they
// lie beyond a gap.
func (r *replay) conn(id uint64, found *replayed) (*conn, []extent) {
	st := found.state
	c := &conn{
		id: logserver.ConnID(id), number: st.Number, fin: st.Fin, start: st.Meta.Base.In, stateStart: st.Meta.Base.In,
		stateSeg: found.seg, statePos: found.pos, stateSize: found.n, begun: found.begun,
	}
	c.info.Set(&st.Meta)
	c.info.Rebase(&st.Meta.Base)
	c.info.Created, c.info.Modified = st.Meta.Created.UnixNano(), found.modified
	r.live(found.seg, found.n)

	slices.SortStableFunc(found.data, func(a, b extent) int { return cmp.Compare(a.off, b.off) })
	end := c.start
	var void []extent
	for i, e := range found.data {
		switch {
		case e.end() <= end: // discarded
		case e.off > end:
			void = append(void, e)
		case i+1 < len(found.data) && found.data[i+1].off == e.off && found.data[i+1].n >= e.n:
			// There is a later copy.
		default:
			c.extents = append(c.extents, e)
			r.live(e.seg, e.n)
			end = e.end()
		}
	}
	c.taken, c.stable = end, end
	void = append(void, r.reads(c, found)...)
	if len(void) > 0 {
		r.hurt[id] = true
	}
	for _, e := range void {
		if e.off >= 0 {
			r.l.counters.lostBytes.Add(int64(e.n))
		}
	}
	c.finStable = c.fin >= 0
	if c.fin != end && c.fin >= 0 {
		// The FIN's record was written, but not all data before it.
		c.fin, c.finStable = -1, false
		r.l.queueState(c, false)
	}
	if c.finStable {
		c.news = toldFin
	}
	return c, void
}

// reads makes the list of a connection's reads.
func (r *replay) reads(c *conn, found *replayed) []extent {
	if len(found.reads) == 0 && found.state.ReadsFrom == 0 {
		return nil
	}
	slices.SortStableFunc(found.reads, func(a, b replayedReads) int { return cmp.Compare(a.from, b.from) })
	log := &table.Reads{From: found.state.ReadsFrom, To: found.state.ReadsFrom}
	var void []extent
	for i, e := range found.reads {
		switch {
		case e.to <= log.To:
		case e.from > log.To:
			void = append(void, extent{-1, e.seg, e.pos, e.n})
		case i+1 < len(found.reads) && found.reads[i+1].from == e.from && found.reads[i+1].to >= e.to:
		default:
			if len(log.Runs) == 0 {
				log.From, log.To = e.from, e.from
			}
			for _, run := range e.runs {
				log.Add(run)
			}
			c.readExt = append(c.readExt, e.readExtent)
			r.live(e.seg, e.n)
		}
	}
	log.Trim(c.start)
	c.reads = log
	return void
}

func (r *replay) live(seg, n uint32) {
	r.l.segment(seg).live += int64(r.l.store.Size(int(n)))
}

// install takes over what was read.
func (l *Log) install(conns []*conn) {
	for _, c := range conns {
		l.table.Add(c.id, c)
		raw := int64(connCost) + c.stable - c.start + int64(len(c.extents)+len(c.readExt))*recordCost + int64(len(c.info.Base(0).State))
		if c.reads != nil {
			raw += int64(len(c.reads.Runs)) * runCost
		}
		l.charge(c, raw)
		l.skip(c)
	}
}
