package storelog

// segment is what the log knows of a segment of its store. Log.mu guards it.
type segment struct {
	id        uint32
	live      int64 // bytes of records that are not dead
	pins      int   // who reads it
	bad       bool  // holds something live that cannot be read
	deletions []deletion
	moving    bool // its deletions are being written elsewhere
}

// deletion is a deletion record. It is needed as long as there is another segment of
// those that may hold records of the connection: from begun to last.
type deletion struct {
	conn        uint64
	begun, last uint32
}

// span is what a copied deletion record has in place of an offset: the original has 0 for last,
// which is where it stands.
func (d deletion) span() int64 { return int64(uint64(d.last)<<32 | uint64(d.begun)) }

func newDeletion(conn uint64, span int64, segment uint32) deletion {
	d := deletion{conn, uint32(uint64(span)), uint32(uint64(span) >> 32)}
	if d.last == 0 {
		d.last = segment
	}
	return d
}

// segment returns what is known of a segment, which exists. l.mu is held.
func (l *Log) segment(id uint32) *segment {
	s := l.segments[id]
	if s == nil {
		s = &segment{id: id}
		l.segments[id] = s
	}
	return s
}

// pin keeps a segment from being freed. l.mu is held.
func (s *segment) pin() { s.pins++ }

func (l *Log) unpin(s *segment) {
	l.mu.Lock()
	s.pins--
	l.mu.Unlock()
}
