package disk

import (
	"cmp"
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/record"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

// replay gathers records, in any order but for States, whose last counts, and
// makes connections of them. What a record says does not depend on those before
// it, so that copies may stand anywhere.
type replay struct {
	l       *Log
	conns   map[uint64]*replayed
	deleted map[uint64]bool
	now     int64 // time of the batch
	hurt    map[uint64]bool
}

// replayed is what was found of a connection.
type replayed struct {
	state       *format.ConnState
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

// segment takes a segment's records, and the gaps between them.
func (r *replay) segment(s *segment, recs []rec, gaps []gap) error {
	for _, g := range gaps {
		r.l.counters.lostRecords.Add(1)
		r.l.cfg.Warn("a place in the log is damaged", "file", s.path, "position", g.from, "bytes", g.to-g.from)
	}
	for i := range recs {
		rec := &recs[i]
		switch rec.h.Type {
		case format.Batch:
			r.now = rec.h.Offset
			continue
		case format.Data, format.State, format.Reads, format.Tomb:
			r.l.numbers.settle(logserver.ConnID(rec.h.Conn))
			if !rec.ok || !r.record(s, rec) {
				r.damaged(s, rec)
			}
		case format.Void:
			continue
		}
	}
	return nil
}

func (r *replay) damaged(s *segment, rec *rec) {
	r.l.counters.lostRecords.Add(1)
	r.hurt[rec.h.Conn] = true
	r.l.cfg.Warn("a record in the log is damaged", "file", s.path, "position", rec.h.Pos,
		"type", rec.h.Type.String(), "connection", rec.h.Conn, "offset", rec.h.Offset, "bytes", rec.h.N)
}

// record takes one record, and returns false if it makes no sense.
func (r *replay) record(s *segment, rec *rec) bool {
	h := &rec.h
	if h.Type == format.Tomb {
		r.deleted[h.Conn] = true
		delete(r.conns, h.Conn)
		s.tombs = append(s.tombs, newTomb(h.Conn, h.Offset))
		return true
	}
	if r.deleted[h.Conn] {
		return true
	}
	c := r.conns[h.Conn]
	if c == nil {
		c = &replayed{begun: s.id}
		r.conns[h.Conn] = c
	}
	if h.Flags&format.Copy == 0 {
		c.modified = max(c.modified, r.now)
	}
	switch h.Type {
	case format.Data:
		if h.Offset < 0 || h.N == 0 || h.Offset > math.MaxInt64-int64(h.N) {
			return false
		}
		c.data = append(c.data, extent{h.Offset, s.id, h.Pos, h.N})
	case format.Reads:
		in := record.NewCursor(rec.payload)
		runs := in.Runs(math.MaxInt)
		to := h.Offset + table.Span(runs)
		if !in.Done() || h.Offset < 0 || to <= h.Offset {
			return false
		}
		c.reads = append(c.reads, replayedReads{readExtent{h.Offset, to, s.id, h.Pos, h.N}, runs})
	case format.State:
		state, err := format.ParseState(rec.payload)
		if err != nil || uint64(state.Meta.ID) != h.Conn {
			return false
		}
		c.state, c.seg, c.pos, c.n = state, s.id, h.Pos, h.N
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
	return r.l.makeVoid(void)
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
		r.l.pendState(c, false)
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
	s := r.l.segments[seg]
	s.live += int64(s.codec.Size(int(n)))
}

// makeVoid makes records invalid for good that lie beyond a gap: else they
// would be taken for what follows the bytes that will be written there.
func (l *Log) makeVoid(list []extent) error {
	changed := map[*segment]bool{}
	for _, e := range list {
		s := l.segments[e.seg]
		b := make([]byte, format.HeaderSize)
		if _, err := s.file.ReadAt(b, int64(e.pos)); err != nil {
			return err
		}
		s.codec.MakeVoid(b)
		if _, err := s.file.WriteAt(b, int64(e.pos)); err != nil {
			return err
		}
		changed[s] = true
	}
	for s := range changed {
		// Its index must not be believed any more.
		if s.size-format.HeaderSize >= s.end+format.HeaderSize {
			if _, err := s.file.WriteAt(make([]byte, format.HeaderSize), s.size-format.HeaderSize); err != nil {
				return err
			}
		}
		if err := s.file.Sync(); err != nil {
			return err
		}
	}
	return nil
}
