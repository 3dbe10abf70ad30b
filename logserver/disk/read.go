package disk

import (
	"fmt"
	"sort"
	"sync"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk/internal/format"
)

// buffers are for records that are read.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// find returns which extent begins at off. Log.mu is held.
func (c *conn) find(off int64) (int, bool) {
	k := sort.Search(len(c.extents), func(k int) bool { return c.extents[k].off >= off })
	return k, k < len(c.extents) && c.extents[k].off == off
}

// Read implements logserver.Log. It holds no lock while it reads files. Each
// record is checked: what is damaged is an error, never other bytes.
func (l *Log) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	var room [8]extent
	extents, segments, end, err := l.extents(id, off, int64(len(p)), room[:0])
	if err != nil || len(extents) == 0 {
		return 0, err
	}
	defer l.readers.Done()
	p = p[:min(int64(len(p)), end-off)]
	n := 0
	for i, e := range extents {
		if err == nil {
			var got int
			got, err = l.readExtent(segments[i], uint64(id), e, p[n:], off+int64(n))
			n += got
		}
		l.unpin(segments[i])
	}
	return n, err
}

// extents returns those that hold the n bytes from off on, with their segments
// pinned, and where the stable data ends.
func (l *Log) extents(id logserver.ConnID, off, n int64, list []extent) ([]extent, []*segment, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	switch {
	case err != nil:
		return nil, nil, 0, err
	case off < 0:
		return nil, nil, 0, fmt.Errorf("%w: offset %d", logserver.ErrInvalid, off)
	case off < c.start:
		return nil, nil, 0, logserver.ErrDiscarded
	case off >= c.stable || n == 0:
		return nil, nil, 0, nil
	}
	end := min(c.stable, off+n)
	k := sort.Search(len(c.extents), func(k int) bool { return c.extents[k].end() > off })
	var segments []*segment
	for ; k < len(c.extents) && c.extents[k].off < end; k++ {
		s := l.segments[c.extents[k].seg]
		s.pin()
		segments = append(segments, s)
		list = append(list, c.extents[k])
	}
	l.readers.Add(1)
	return list, segments, c.stable, nil
}

// readExtent copies what an extent has from off on.
func (l *Log) readExtent(s *segment, id uint64, e extent, p []byte, off int64) (int, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	size := s.codec.Size(int(e.n))
	if cap(*buf) < size {
		*buf = make([]byte, size)
	}
	b := (*buf)[:size]
	_, err := s.file.ReadAt(b, int64(e.pos))
	var payload []byte
	if err == nil {
		h, ok := s.codec.Header(b, int64(e.pos))
		if !ok || h.Type != format.Data || h.Conn != id || h.Offset != e.off || h.N != e.n {
			err = format.ErrDamaged
		} else {
			payload, err = s.codec.Payload(b, h)
		}
	}
	if err != nil {
		if l.counters.readErrors.Add(1) == 1 {
			l.cfg.Warn("a record cannot be read", "file", s.path, "position", e.pos, "connection", id, "offset", e.off, "bytes", e.n, "error", err)
		}
		return 0, fmt.Errorf("disk: %s at %d: %w", s.path, e.pos, err)
	}
	n := copy(p, payload[off-e.off:])
	clear(payload)
	return n, nil
}
