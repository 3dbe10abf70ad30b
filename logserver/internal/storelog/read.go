package storelog

import (
	"fmt"
	"sort"
	"sync"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// buffers are for records that are read.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// find returns which extent begins at off. Log.mu is held.
func (c *conn) find(off int64) (int, bool) {
	k := sort.Search(len(c.extents), func(k int) bool { return c.extents[k].off >= off })
	return k, k < len(c.extents) && c.extents[k].off == off
}

// Read implements logserver.Log. It holds no lock while it reads the store. Each
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
			got, err = l.readExtent(id, e, p[n:], off+int64(n))
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
		s := l.segment(c.extents[k].seg)
		s.pin()
		segments = append(segments, s)
		list = append(list, c.extents[k])
	}
	l.readers.Add(1)
	return list, segments, c.stable, nil
}

// readExtent copies what an extent has from off on.
func (l *Log) readExtent(id logserver.ConnID, e extent, p []byte, off int64) (int, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	size := l.store.Size(int(e.n))
	if cap(*buf) < size {
		*buf = make([]byte, size)
	}
	h := store.Header{Type: store.Data, N: e.n, Conn: uint64(id), Offset: e.off}
	payload, err := l.store.Read(store.Place{Segment: e.seg, At: e.pos}, h, (*buf)[:size])
	if err != nil {
		if l.counters.readErrors.Add(1) == 1 {
			l.cfg.Warn("a record cannot be read", "connection", id, "offset", e.off, "bytes", e.n, "error", err)
		}
		return 0, err
	}
	n := copy(p, payload[off-e.off:])
	clear(payload)
	return n, nil
}
