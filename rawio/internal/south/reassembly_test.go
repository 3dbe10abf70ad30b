package south

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// stream is the byte at an offset.
func stream(off int64) byte { return byte(off ^ off>>8) }

func chunk(off int64, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = stream(off + int64(i))
	}
	return p
}

// model keeps bytes by their offset.
type model map[int64]byte

func (m model) check(t interface{ Fatalf(string, ...any) }, q *queue) {
	n, last := 0, int64(-1)
	for _, r := range q.runs {
		if r.off <= last-1 || len(r.data) == 0 {
			t.Fatalf("run at %d follows %d: %v", r.off, last, q.runs)
		}
		for i, b := range r.data {
			if want, ok := m[r.off+int64(i)]; !ok || b != want {
				t.Fatalf("byte %d is %d, want %d %v", r.off+int64(i), b, want, ok)
			}
		}
		n += len(r.data)
		last = r.end()
	}
	if n != q.bytes || n != len(m) {
		t.Fatalf("%d bytes in runs, %d counted, %d inserted", n, q.bytes, len(m))
	}
}

// TestQueue compares the reassembly queue with a map of bytes, for any order of
// insertions and removals.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		m := model{}
		const limit = 600
		next := rapid.Int64Range(0, 1<<40).Draw(t, "start")
		base := next
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				off := next + 1 + int64(rapid.IntRange(0, 300).Draw(t, "off"))
				p := chunk(off, rapid.IntRange(0, 120).Draw(t, "len"))
				before := q.bytes
				q.insert(off, p, limit)
				clear(p) // the queue has its own copy
				for i := range p {
					m[off+int64(i)] = stream(off + int64(i))
				}
				if before+len(p) > limit { // what did not fit may be missing
					clear(m)
					for _, r := range q.runs {
						for i := range r.data {
							m[r.off+int64(i)] = stream(r.off + int64(i))
						}
					}
				}
				if q.bytes > limit {
					t.Fatalf("%d bytes kept", q.bytes)
				}
			},
			"fill": func(t *rapid.T) {
				next += int64(rapid.IntRange(1, 200).Draw(t, "filled"))
				for p := q.next(next); p != nil; p = q.next(next) {
					if !bytes.Equal(p, chunk(next, len(p))) {
						t.Fatalf("bytes at %d", next)
					}
					next += int64(len(p))
				}
				for off := range m {
					if off < next {
						delete(m, off)
					}
				}
			},
			"": func(t *rapid.T) {
				m.check(t, &q)
				checkBlocks(t, &q, m, base)
			},
		})
	})
}

// checkBlocks: every block is a maximal range of kept bytes, none is told twice,
// and the first holds the newest byte, if that is still there.
func checkBlocks(t *rapid.T, q *queue, m model, _ int64) {
	for _, n := range []int{1, 3, 4} {
		blocks := q.blocks(n)
		if len(blocks) > n {
			t.Fatalf("%d blocks", len(blocks))
		}
		if _, ok := m[q.newest]; ok && !(blocks[0][0] <= q.newest && q.newest < blocks[0][1]) {
			t.Fatalf("newest %d is not in %v", q.newest, blocks)
		}
		seen := map[int64]bool{}
		for _, b := range blocks {
			if seen[b[0]] || b[0] >= b[1] {
				t.Fatalf("blocks %v", blocks)
			}
			seen[b[0]] = true
			_, before := m[b[0]-1]
			_, after := m[b[1]]
			if before || after {
				t.Fatalf("block %v is not maximal", b)
			}
			for off := b[0]; off < b[1]; off++ {
				if _, ok := m[off]; !ok {
					t.Fatalf("block %v holds %d, which is not kept", b, off)
				}
			}
		}
	}
}

// FuzzQueue inserts and removes as the input says.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{10, 5, 3, 20, 12, 0, 30})
	f.Add([]byte{200, 100, 1, 255, 0, 99, 7, 7})
	f.Fuzz(func(t *testing.T, in []byte) {
		var q queue
		m := model{}
		next := int64(1 << 33)
		for i := 0; i+1 < len(in) && i < 400; i += 2 {
			if in[i]%4 == 0 {
				next += int64(in[i+1])
				for p := q.next(next); p != nil; p = q.next(next) {
					if !bytes.Equal(p, chunk(next, len(p))) {
						t.Fatalf("bytes at %d", next)
					}
					next += int64(len(p))
				}
				for off := range m {
					if off < next {
						delete(m, off)
					}
				}
			} else {
				off := next + 1 + int64(in[i])
				p := chunk(off, int(in[i+1]))
				q.insert(off, p, maxAhead)
				for j, b := range p {
					m[off+int64(j)] = b
				}
			}
			m.check(t, &q)
		}
	})
}
