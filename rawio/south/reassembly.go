package south

// queue keeps client data that arrived beyond a gap, in order of its offset,
// without overlaps (spec: the bytes between received and high).
type queue struct {
	runs  []run
	bytes int
}

type run struct {
	off  int64
	data []byte
}

func (r run) end() int64 { return r.off + int64(len(r.data)) }

// insert copies the parts of p, which begins at off, that the queue lacks.
// It keeps at most limit bytes; what exceeds it is dropped and must be sent
// again by the client.
func (q *queue) insert(off int64, p []byte, limit int) {
	for i := 0; i < len(q.runs) && len(p) > 0; i++ {
		r := q.runs[i]
		if off >= r.end() {
			continue
		}
		if off < r.off {
			n := min(int64(len(p)), r.off-off)
			if q.put(i, off, p[:n], limit) {
				i++
			}
			off += n
			p = p[n:]
		}
		if len(p) == 0 {
			return
		}
		if n := min(int64(len(p)), r.end()-off); n > 0 {
			off += n
			p = p[n:]
		}
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
	for len(q.runs) > 0 {
		r := q.runs[0]
		if r.off > off {
			return nil
		}
		q.runs = q.runs[1:]
		q.bytes -= len(r.data)
		if len(q.runs) == 0 {
			q.runs = nil
		}
		if r.end() > off {
			return r.data[off-r.off:]
		}
	}
	return nil
}

// blocks returns up to n maximal ranges of kept bytes, lowest first.
func (q *queue) blocks(n int) [][2]int64 {
	var out [][2]int64
	for _, r := range q.runs {
		if k := len(out) - 1; k >= 0 && out[k][1] == r.off {
			out[k][1] = r.end()
			continue
		}
		if len(out) == n {
			break
		}
		out = append(out, [2]int64{r.off, r.end()})
	}
	return out
}

// clear forgets everything.
func (q *queue) clear() { *q = queue{} }
