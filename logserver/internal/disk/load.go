package disk

import (
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/internal/store"
)

// rec is a record as it was found.
type rec struct {
	h       format.Header
	payload []byte // if it was read and is whole
	ok      bool   // it is whole, as far as was looked at
}

// gap is a place that holds no valid record.
type gap struct{ from, to int64 }

// isOther reports whether what a record says has to be read when the log is opened.
func isOther(h format.Header) bool { return h.Type == store.State || h.Type == store.Reads }

// loadIndexed reads a segment by its index: what data records there are, and
// all other records. It returns false if there is no valid index.
func loadIndexed(f vfs.File, codec *format.Codec, id uint32, size int64) ([]rec, int64, bool) {
	b := make([]byte, format.HeaderSize)
	at := size - format.HeaderSize
	if at < format.Begin || at%format.Align != 0 {
		return nil, 0, false
	}
	if _, err := f.ReadAt(b, at); err != nil {
		return nil, 0, false
	}
	t, ok := codec.Header(b, at)
	if !ok || t.Type != format.Trailer || t.Conn != uint64(id) || t.Offset < format.Begin || t.Offset > at-format.HeaderSize || t.Offset%format.Align != 0 {
		return nil, 0, false
	}
	end := t.Offset
	if _, err := f.ReadAt(b, end); err != nil {
		return nil, 0, false
	}
	h, ok := codec.Header(b, end)
	if !ok || h.Type != format.Index || end+int64(codec.Size(int(h.N))) > at {
		return nil, 0, false
	}
	b = make([]byte, codec.Size(int(h.N)))
	if _, err := f.ReadAt(b, end); err != nil {
		return nil, 0, false
	}
	payload, err := codec.Payload(b, h)
	if err != nil {
		return nil, 0, false
	}
	headers, err := format.ParseIndex(payload, end)
	if err != nil {
		return nil, 0, false
	}
	recs := make([]rec, len(headers))
	for i, h := range headers {
		recs[i] = rec{h: h, ok: true}
	}
	return recs, end, loadOthers(f, codec, recs) == nil
}

// loadOthers reads the payloads of all records but data. Those that lie close
// together are read at once.
func loadOthers(f vfs.File, codec *format.Codec, recs []rec) error {
	const near, most = 32 << 10, 1 << 20
	wanted := func(r *rec) bool { return isOther(r.h) }
	for i := 0; i < len(recs); i++ {
		if !wanted(&recs[i]) {
			continue
		}
		from := int64(recs[i].h.Pos)
		to := from
		last := i
		for k := i; k < len(recs) && int64(recs[k].h.Pos)-to < near && int64(recs[k].h.Pos)-from < most; k++ {
			if wanted(&recs[k]) {
				to, last = int64(recs[k].h.Pos)+int64(codec.Size(int(recs[k].h.N))), k
			}
		}
		b := make([]byte, to-from)
		if _, err := f.ReadAt(b, from); err != nil {
			return err
		}
		for k := i; k <= last; k++ {
			r := &recs[k]
			if !wanted(r) {
				continue
			}
			at := int64(r.h.Pos) - from
			one := b[at : at+int64(codec.Size(int(r.h.N)))]
			h, ok := codec.Header(one, int64(r.h.Pos))
			r.ok = false
			if ok && h.Type == r.h.Type && h.N == r.h.N && h.Conn == r.h.Conn {
				r.h = h
				payload, err := codec.Payload(one, h)
				r.payload, r.ok = payload, err == nil
			}
		}
		i = last
	}
	return nil
}
