package south

import "sort"

// queue keeps client data that arrived beyond a gap, in order of its offset,
// without overlaps (spec: the bytes between received and high). A nil queue is
// empty.
type queue struct {
	runs   []run
	bytes  int
	newest int64 // offset of the byte that was added last
}

type run struct {
	off  int64
	data []byte
}

func (r run) end() int64 { return r.off + int64(len(r.data)) }

func (q *queue) empty() bool { return q == nil || len(q.runs) == 0 }

// insert copies the parts of p, which begins at off, that the queue lacks.
// It keeps at most limit bytes; what exceeds it is dropped and must be sent
// again by the client.
func (q *queue) insert(off int64, p []byte, limit int) {
	if len(p) == 0 {
		return
	}
	q.newest = off
	i := len(q.runs)
	if i > 0 && off < q.runs[i-1].end() { // most data belongs at the end
		i = sort.Search(i, func(i int) bool { return off < q.runs[i].end() })
	}
	for ; i < len(q.runs) && len(p) > 0; i++ {
		r := q.runs[i]
		if off < r.off {
			n := min(int64(len(p)), r.off-off)
			if q.put(i, off, p[:n], limit) {
				i++
			}
			off, p = off+n, p[n:]
		}
		n := min(int64(len(p)), r.end()-off)
		off, p = off+n, p[n:]
	}
	if len(p) > 0 {
		q.put(len(q.runs), off, p, limit)
	}
}

// put inserts a run at index i and reports whether there was room.
func (q *queue) put(i int, off int64, p []byte, limit int) bool {
	if q.bytes+len(p) > limit {
		return false
	}
	q.runs = append(q.runs, run{})
	copy(q.runs[i+1:], q.runs[i:])
	q.runs[i] = run{off, append([]byte(nil), p...)}
	q.bytes += len(p)
	return true
}

// next removes and returns what has become contiguous at off, or nil.
func (q *queue) next(off int64) []byte {
	for !q.empty() {
		r := q.runs[0]
		if r.off > off {
			return nil
		}
		q.runs[0] = run{}
		q.runs = q.runs[1:]
		q.bytes -= len(r.data)
		if r.end() > off {
			return r.data[off-r.off:]
		}
	}
	return nil
}

// blocks returns up to n maximal ranges of kept bytes as SACK tells them (RFC
// 2018 section 4): first the one that grew last, then the others, lowest first.
func (q *queue) blocks(n int) [][2]int64 {
	if q.empty() {
		return nil
	}
	out := make([][2]int64, 1, n+1)
	var cur [2]int64
	flush := func() {
		switch {
		case cur[0] == cur[1]:
		case cur[0] <= q.newest && q.newest < cur[1]:
			out[0] = cur
		case len(out) <= n:
			out = append(out, cur)
		}
	}
	for _, r := range q.runs {
		if r.off == cur[1] {
			cur[1] = r.end()
			continue
		}
		flush()
		cur = [2]int64{r.off, r.end()}
	}
	flush()
	if out[0][0] == out[0][1] {
		out = out[1:]
	}
	return out[:min(n, len(out))]
}
