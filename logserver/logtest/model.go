package logtest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/ftnet/ftnet/logserver"
)

// modelConn is a connection as simply as it can be said: all its bytes ever,
// and all its reads.
type modelConn struct {
	meta       logserver.Meta
	data       []byte
	start, out int64 // of the base
	finished   bool
	reads      []uint32
	discardedR int64 // bytes of reads dropped from the front
	stable     int64 // the least that must be stable
}

// trimReads drops reads below start, shortening the one that straddles it.
func (c *modelConn) trimReads() {
	for len(c.reads) > 0 && c.discardedR < c.start {
		cut := min(c.start-c.discardedR, int64(c.reads[0]))
		c.discardedR += cut
		if c.reads[0] -= uint32(cut); c.reads[0] == 0 {
			c.reads = c.reads[1:]
		}
	}
}

// testModel compares random sequences of calls with the model.
func testModel(t *testing.T, open Factory) {
	rapid.Check(t, func(r *rapid.T) { modelRun(t, r, open, nil) })
}

// Fuzz lets the fuzzer choose the sequence of calls of the model test.
func Fuzz(f *testing.F, open Factory) {
	f.Fuzz(func(t *testing.T, input []byte) {
		rapid.MakeFuzz(func(r *rapid.T) { modelRun(t, r, open, nil) })(t, input)
	})
}

type model struct {
	*rapid.T
	log    logserver.Log
	conns  []*modelConn // as opened
	opened int
	used   map[logserver.ConnID]bool // numbers that were given out
}

// modelRun compares one sequence. again, if not nil, closes a log and opens it
// again.
func modelRun(t testing.TB, r *rapid.T, open Factory, again func(l logserver.Log, limits Limits) logserver.Log) {
	m := &model{T: r, used: map[logserver.ConnID]bool{}}
	limits := Limits{}
	m.adopt(open(t, limits))
	defer func() { m.log.Close() }()
	actions := map[string]func(*rapid.T){
		"":        m.check,
		"open":    m.open,
		"write":   m.write,
		"finish":  m.finish,
		"reads":   m.reads,
		"read":    m.read,
		"discard": m.discard,
		"delete":  m.delete,
		"settle":  m.settle,
	}
	if again != nil {
		actions["reopen"] = func(*rapid.T) {
			m.adopt(again(m.log, limits))
			for _, c := range m.conns {
				c.stable = int64(len(c.data))
			}
			m.settle(nil)
		}
	}
	r.Repeat(actions)
	m.settle(nil)
	for len(m.conns) > 0 {
		m.wants(m.log.Delete(m.conns[0].meta.ID), nil)
		m.conns = m.conns[1:]
	}
	empties(m, m.log)
}

// adopt goes on with a log that was just opened.
func (m *model) adopt(l logserver.Log) {
	m.log = l
	m.wants(l.RegisterService(0), nil)
}

// settle waits until all that was taken is stable.
func (m *model) settle(*rapid.T) {
	for _, c := range m.conns {
		soon(m, "all is stable", func() bool {
			_, end, err := m.log.Length(c.meta.ID)
			m.wants(err, nil)
			return end >= int64(len(c.data))
		})
		c.stable = int64(len(c.data))
	}
	m.check(nil)
}

// pick chooses a connection, and opens one if there is none.
func (m *model) pick() *modelConn {
	if len(m.conns) == 0 {
		m.open(m.T)
	}
	return rapid.SampledFrom(m.conns).Draw(m.T, "conn")
}

// wants fails unless err is the expected one; nil expects none.
func (m *model) wants(err, want error) {
	m.Helper()
	if want == nil && err != nil || !errors.Is(err, want) {
		m.Fatalf("error is %v, want %v", err, want)
	}
}

func (m *model) open(*rapid.T) {
	meta := Example(m.opened)
	m.opened++
	id, err := m.log.Open(meta)
	m.wants(err, nil)
	if m.used[id] || id == 0 {
		m.Fatalf("number %d is given out again", id)
	}
	m.used[id] = true
	meta.ID = id
	m.conns = append(m.conns, &modelConn{meta: meta})
}

func (m *model) write(*rapid.T) {
	c := m.pick()
	end := int64(len(c.data))
	off := max(0, end+int64(rapid.IntRange(-2000, 3).Draw(m.T, "off")))
	n := rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(0, 3000), rapid.IntRange(0, 70_000)).Draw(m.T, "n")
	p := pattern(n, uint64(c.meta.ID), off)
	fresh := off + int64(n) - end

	var want error
	switch {
	case off > end:
		want, fresh = logserver.ErrGap, 0
	case fresh <= 0:
		fresh = 0
	case c.finished:
		want, fresh = logserver.ErrFinished, 0
	}
	taken, err := m.log.Write(c.meta.ID, off, p)
	m.wants(err, want)
	if has := min(end+fresh-off, int64(n)); want != logserver.ErrGap && int64(taken) != has {
		m.Fatalf("Write of %d bytes at %d took %d, want %d", n, off, taken, has)
	}
	if fresh > 0 {
		c.data = append(c.data, p[end-off:end-off+fresh]...)
	}
}

func (m *model) finish(*rapid.T) {
	c := m.pick()
	d := int64(rapid.IntRange(-1, 1).Draw(m.T, "off"))
	want := map[int64]error{-1: logserver.ErrFinished, 1: logserver.ErrGap}[d]
	m.wants(m.log.Finish(c.meta.ID, int64(len(c.data))+d), want)
	c.finished = c.finished || want == nil
}

func (m *model) reads(*rapid.T) {
	c := m.pick()
	lengths := rapid.SliceOfN(rapid.Uint32Range(1, 5), 0, 20).Draw(m.T, "lengths")
	m.wants(m.log.WriteReads(c.meta.ID, lengths...), nil)
	c.reads = append(c.reads, lengths...)
	c.trimReads()
}

func (m *model) read(*rapid.T) {
	c := m.pick()
	off := rapid.Int64Range(0, int64(len(c.data))+2).Draw(m.T, "off")
	p := make([]byte, rapid.IntRange(0, 100_000).Draw(m.T, "n"))
	n, err := m.log.Read(c.meta.ID, p, off)
	if off < c.start {
		m.wants(err, logserver.ErrDiscarded)
		return
	}
	m.wants(err, nil)
	want := c.data[min(off, int64(len(c.data))):]
	want = want[:min(len(want), len(p))]
	if least := min(c.stable-off, int64(len(p))); int64(n) < least || n > len(want) || !bytes.Equal(p[:n], want[:n]) {
		m.Fatalf("Read of %d at %d: %d bytes, want %d of %d stable, or other ones", len(p), off, n, least, len(want))
	}
}

func (m *model) discard(*rapid.T) {
	c := m.pick()
	through := rapid.Int64Range(0, int64(len(c.data))+1).Draw(m.T, "through")
	out := rapid.Int64Range(0, 3).Draw(m.T, "out")
	if through > int64(len(c.data)) {
		m.wants(m.log.Rebase(c.meta.ID, logserver.Base{In: through, Out: out}), logserver.ErrGap)
		return
	}
	err := m.log.Rebase(c.meta.ID, logserver.Base{In: through, Out: out, State: []byte("s")})
	if through > c.stable && errors.Is(err, logserver.ErrGap) {
		return // not stable yet
	}
	m.wants(err, nil)
	if c.stable = max(c.stable, through); through < c.start || out < c.out {
		return // not beyond the present base
	}
	c.start, c.out = through, out
	c.trimReads()
}

func (m *model) delete(*rapid.T) {
	c := m.pick()
	m.wants(m.log.Delete(c.meta.ID), nil)
	m.conns = slices.DeleteFunc(m.conns, func(other *modelConn) bool { return other == c })
}

// check compares all that can be asked without changing anything.
func (m *model) check(*rapid.T) {
	if n := m.log.NumActive(); n != len(m.conns) {
		m.Fatalf("NumActive is %d, want %d", n, len(m.conns))
	}
	metas, err := m.log.Active(0, 1000)
	m.wants(err, nil)
	for i, c := range m.conns {
		want := c.meta
		want.Finished, want.Base = c.finished, logserver.Base{In: c.start, Out: c.out}
		if diff := cmp.Diff(want, metas[i], byAddr, cmpopts.IgnoreFields(want, "Created", "Modified")); diff != "" {
			m.Fatalf("connection %d (-want +got):\n%s", i, diff)
		}
		start, end, err := m.log.Length(c.meta.ID)
		m.wants(err, nil)
		if logserver.IsImmediate(m.log) {
			c.stable = int64(len(c.data))
		}
		if start != c.start || end < c.stable || end > int64(len(c.data)) {
			m.Fatalf("Length is %d..%d, want %d..%d, %d of them stable", start, end, c.start, len(c.data), c.stable)
		}
		c.stable = end
		runs, err := m.log.Reads(c.meta.ID)
		m.wants(err, nil)
		if !slices.Equal(expand(runs), c.reads) {
			m.Fatalf("reads are %v, want %v", expand(runs), c.reads)
		}
	}
}
