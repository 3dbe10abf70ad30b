package remote_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logtest"
	"github.com/ftnet/ftnet/logserver/memory"
)

// lazy is a log that makes things stable late, and forgets what is not stable
// when it crashes: all calls are kept in order, and made twice, once at once
// and once when they become stable.
type lazy struct {
	t      testing.TB
	limits logtest.Limits

	mu     sync.Mutex // guards what follows
	taken  *memory.Log
	stable *memory.Log
	calls  []func(*memory.Log)
	done   int // of calls, on stable
	up     func([]logserver.Upcall)
}

func newLazy(t testing.TB, limits logtest.Limits) *lazy {
	l := &lazy{t: t, limits: limits}
	l.taken, l.stable = l.fresh(), l.fresh()
	return l
}

func (l *lazy) fresh() *memory.Log {
	m := newMemory(l.t, l.limits)
	_ = m.RegisterService(0)
	return m
}

// flush makes up to n calls stable.
func (l *lazy) flush(n int) {
	l.mu.Lock()
	next := l.calls[l.done:]
	next = slices.Clone(next[:min(n, len(next))])
	stable := l.stable
	l.mu.Unlock()
	for _, call := range next {
		call(stable)
		l.mu.Lock()
		l.done++
		l.mu.Unlock()
	}
}

// crash forgets what is not stable. Nobody may use the log meanwhile.
func (l *lazy) crash() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = l.calls[:l.done]
	_, _ = l.taken.Close(), l.stable.Close()
	l.taken, l.stable = l.fresh(), l.fresh()
	for _, call := range l.calls {
		call(l.taken)
		call(l.stable)
	}
	l.stable.SetUpcall(l.up)
}

// wipe forgets everything.
func (l *lazy) wipe() {
	l.mu.Lock()
	l.calls, l.done = nil, 0
	l.mu.Unlock()
	l.crash()
}

// do makes a call that is to become stable.
func (l *lazy) do(call func(*memory.Log) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := call(l.taken)
	l.calls = append(l.calls, func(m *memory.Log) { _ = call(m) })
	return err
}

func (l *lazy) now() (taken, stable *memory.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken, l.stable
}

func (l *lazy) RegisterService(uint16) error { return nil }

func (l *lazy) Open(m logserver.Meta) (id logserver.ConnID, err error) {
	first := true
	err = l.do(func(to *memory.Log) error {
		got, err := to.Open(m)
		if first {
			id, first = got, false
		}
		return err
	})
	return id, err
}

func (l *lazy) Update(m logserver.Meta) error {
	return l.do(func(to *memory.Log) error { return to.Update(m) })
}

func (l *lazy) Write(id logserver.ConnID, off int64, p []byte) (n int, err error) {
	p = slices.Clone(p)
	first := true
	err = l.do(func(to *memory.Log) error {
		got, err := to.Write(id, off, p)
		if first {
			n, first = got, false
		}
		return err
	})
	return n, err
}

func (l *lazy) Room(id logserver.ConnID) (int64, error) {
	taken, _ := l.now()
	return taken.Room(id)
}

func (l *lazy) WriteReads(id logserver.ConnID, lengths ...uint32) error {
	lengths = slices.Clone(lengths)
	return l.do(func(to *memory.Log) error { return to.WriteReads(id, lengths...) })
}

func (l *lazy) Reads(id logserver.ConnID) ([]logserver.ReadRun, error) {
	taken, _ := l.now()
	return taken.Reads(id)
}

func (l *lazy) Finish(id logserver.ConnID, off int64) error {
	return l.do(func(to *memory.Log) error { return to.Finish(id, off) })
}

func (l *lazy) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	_, stable := l.now()
	return stable.Read(id, p, off)
}

func (l *lazy) Length(id logserver.ConnID) (start, end int64, err error) {
	taken, stable := l.now()
	if start, _, err = taken.Length(id); err != nil {
		return 0, 0, err
	}
	_, end, err = stable.Length(id)
	return start, end, err
}

func (l *lazy) NumActive() int {
	taken, _ := l.now()
	return taken.NumActive()
}

func (l *lazy) Active(first, n int) ([]logserver.Meta, error) {
	taken, _ := l.now()
	return taken.Active(first, n)
}

func (l *lazy) Meta(id logserver.ConnID) (logserver.Meta, error) {
	taken, _ := l.now()
	return taken.Meta(id)
}

func (l *lazy) Rebase(id logserver.ConnID, b logserver.Base) error {
	if _, end, err := l.Length(id); err == nil && b.In > end {
		return logserver.ErrGap
	}
	b.State = slices.Clone(b.State)
	return l.do(func(to *memory.Log) error { return to.Rebase(id, b) })
}

func (l *lazy) Delete(id logserver.ConnID) error {
	return l.do(func(to *memory.Log) error { return to.Delete(id) })
}

func (l *lazy) Expire(time.Time) []logserver.ConnID { return nil }

func (l *lazy) Status() logserver.Status { return logserver.OK }

func (l *lazy) SetUpcall(f func([]logserver.Upcall)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = f
	l.stable.SetUpcall(f)
}

func (l *lazy) SetStatusUpcall(func(logserver.Status)) {}

func (l *lazy) Usage() (used, limit int64) {
	taken, _ := l.now()
	return taken.Usage()
}

func (l *lazy) Close() error {
	taken, stable := l.now()
	_ = taken.Close()
	return stable.Close()
}
