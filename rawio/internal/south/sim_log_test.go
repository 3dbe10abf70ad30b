package south_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// lateLog is a log that makes things stable later, in batches and in another
// order than that of the calls but for those of one connection; that cannot be
// reached for a while, or has no room for a while. What is in conns but not in a
// connection's store would be lost if the log's host crashed. Its caller's side
// has it still, and sends it again: for the caller that is a delay.
type lateLog struct {
	w        *world
	plan     *logPlan
	rand     *rand.Rand
	conns    map[logserver.ConnID]*lateConn
	order    []*lateConn // as opened
	last     logserver.ConnID
	down     int // how many reasons there are
	full     int
	well     time.Duration // since the world began: when it has had room again last
	syncing  bool
	unstable int64
	up       func([]logserver.Upcall)
}

var _ logserver.Log = (*lateLog)(nil)

type lateConn struct {
	meta    logserver.Meta
	taken   []byte
	start   int64
	fin     bool
	gone    bool
	waiting []lateCall

	// What would survive a crash.
	store           []byte
	hasMeta, hasFin bool

	reads []uint32
	app   int // number of the client, to check the bytes
}

// lateCall is a call that is not stable yet.
type lateCall struct {
	meta, fin bool
	end       int64 // of data
}

func newLateLog(w *world, p *logPlan) *lateLog {
	l := &lateLog{w: w, plan: p, rand: rand.New(rand.NewPCG(w.plan.seed, 0x6c617465)), conns: map[logserver.ConnID]*lateConn{}}
	for _, d := range p.down {
		w.clock.After(d.at, func() { l.setDown(1) })
		w.clock.After(d.at+d.pause, func() { l.setDown(-1) })
	}
	for _, f := range p.full {
		w.clock.After(f.at, func() { l.full++; w.note("log: full") })
		w.clock.After(f.at+f.pause, func() { l.full--; l.well = w.clock.Now(); w.note("log: room") })
	}
	return l
}

func (l *lateLog) delay(d time.Duration) time.Duration {
	return time.Duration(l.rand.Int64N(int64(d) + 1))
}

func (l *lateLog) setDown(d int) {
	before := l.Status()
	l.down += d
	now := l.Status()
	if now == before {
		return
	}
	l.w.note("log: %v", now)
	l.w.do(func() { l.w.machine.LogStatus(now) })
	if now == logserver.OK {
		for _, c := range l.order { // it tells again what it has
			if !c.gone && (c.hasMeta || len(c.store) > 0) {
				l.tell([]logserver.Upcall{c.upcall()})
			}
		}
		l.later()
	}
}

// later has something become stable, soon.
func (l *lateLog) later() {
	if l.syncing || l.down > 0 {
		return
	}
	l.syncing = true
	l.w.clock.After(l.delay(l.plan.sync), l.sync)
}

// sync makes some of what waits stable.
func (l *lateLog) sync() {
	l.syncing = false
	if l.down > 0 {
		return
	}
	var list []logserver.Upcall
	more := false
	for _, i := range l.rand.Perm(len(l.order)) {
		c := l.order[i]
		if c.gone || len(c.waiting) == 0 {
			continue
		}
		n := l.rand.IntN(len(c.waiting) + 1)
		if l.rand.IntN(2) == 0 {
			n = len(c.waiting)
		}
		for _, call := range c.waiting[:n] {
			l.apply(c, call)
		}
		if c.waiting = c.waiting[n:]; n > 0 {
			list = append(list, c.upcall())
		}
		more = more || len(c.waiting) > 0
	}
	l.order = slices.DeleteFunc(l.order, func(c *lateConn) bool { return c.gone })
	if k := l.rand.IntN(len(list) + 1); k > 0 && k < len(list) {
		l.tell(list[:k])
		list = list[k:]
	}
	l.tell(list)
	if more {
		l.later()
	}
}

func (l *lateLog) apply(c *lateConn, call lateCall) {
	c.hasMeta = c.hasMeta || call.meta
	c.hasFin = c.hasFin || call.fin
	if n := int64(len(c.store)); call.end > n {
		for off := n; off < call.end; off++ {
			if want := clientByte(c.app, int(off)); c.taken[off] != want {
				l.w.fail("client %d: byte %d in the log is %#x, want %#x", c.app, off, c.taken[off], want)
			}
		}
		l.unstable -= call.end - n
		c.store = append(c.store, c.taken[n:call.end]...)
	}
}

func (c *lateConn) upcall() logserver.Upcall {
	return logserver.Upcall{ID: c.meta.ID, Tag: c.meta.Tag, Stable: int64(len(c.store)), Meta: c.hasMeta, Fin: c.hasFin}
}

// tell makes an upcall, which others may overtake.
func (l *lateLog) tell(list []logserver.Upcall) {
	if len(list) == 0 {
		return
	}
	l.w.clock.After(l.delay(l.plan.upcall), func() {
		if l.down > 0 {
			return // it is told again when the log can be reached
		}
		l.up(list)
		l.w.do(func() {})
	})
}

func (l *lateLog) conn(id logserver.ConnID) (*lateConn, error) {
	if c := l.conns[id]; c != nil {
		return c, nil
	}
	return nil, logserver.ErrNoConn
}

func (l *lateLog) RegisterService(uint16) error { return nil }

func (l *lateLog) Open(m logserver.Meta) (logserver.ConnID, error) {
	if l.full > 0 {
		return 0, &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: 1}
	}
	l.last++
	m.ID = l.last
	c := &lateConn{meta: m, waiting: []lateCall{{meta: true}}, app: l.w.flows[segment.Flow(m.Flow)].app.n}
	l.conns[m.ID], l.order = c, append(l.order, c)
	l.later()
	return m.ID, nil
}

func (l *lateLog) Update(m logserver.Meta) error {
	c, err := l.conn(m.ID)
	if err != nil {
		return err
	}
	m.Base = c.meta.Base
	c.meta, c.waiting = m, append(c.waiting, lateCall{meta: true})
	l.later()
	return nil
}

func (l *lateLog) Write(id logserver.ConnID, off int64, p []byte) (int, error) {
	c, err := l.conn(id)
	if err != nil {
		return 0, err
	}
	end := int64(len(c.taken))
	if off > end {
		l.w.fail("log: data at %d, the end is at %d", off, end)
		return 0, logserver.ErrGap
	}
	p = p[min(end-off, int64(len(p))):]
	had := int(end - off)
	if len(p) == 0 {
		return had, nil
	}
	if c.fin {
		l.w.fail("log: data at %d, beyond the FIN at %d", off, end)
		return had, logserver.ErrFinished
	}
	var full error
	if l.full > 0 {
		p, full = p[:l.rand.IntN(len(p))], &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: 1}
	} else if room := l.plan.buffer - l.unstable; l.plan.buffer > 0 && int64(len(p)) > room {
		p, full = p[:max(room, 0)], &logserver.QuotaError{Scope: logserver.ScopeBuffer, Limit: l.plan.buffer}
	}
	if len(p) > 0 {
		c.taken = append(c.taken, p...)
		l.unstable += int64(len(p))
		c.waiting = append(c.waiting, lateCall{end: int64(len(c.taken))})
		l.later()
	}
	return had + len(p), full
}

func (l *lateLog) Room(id logserver.ConnID) (int64, error) {
	switch _, err := l.conn(id); {
	case err != nil || l.full > 0:
		return 0, err
	case l.plan.buffer > 0 && l.unstable > 0:
		return l.plan.buffer - l.unstable, nil
	}
	return 1 << 30, nil
}

func (l *lateLog) WriteReads(id logserver.ConnID, lengths ...uint32) error {
	c, err := l.conn(id)
	if err == nil {
		c.reads = append(c.reads, lengths...)
	}
	return err
}

func (l *lateLog) Reads(id logserver.ConnID) (runs []logserver.ReadRun, err error) {
	c, err := l.conn(id)
	if err != nil || l.down > 0 {
		return nil, err
	}
	for _, n := range c.reads {
		runs = append(runs, logserver.ReadRun{Length: n, Count: 1})
	}
	return runs, nil
}

func (l *lateLog) Finish(id logserver.ConnID, off int64) error {
	c, err := l.conn(id)
	switch {
	case err != nil:
		return err
	case off != int64(len(c.taken)):
		l.w.fail("log: FIN at %d, the end is at %d", off, len(c.taken))
		return logserver.ErrGap
	case c.fin:
		return nil
	case l.plan.buffer > 0 && l.unstable >= l.plan.buffer:
		return &logserver.QuotaError{Scope: logserver.ScopeBuffer, Limit: l.plan.buffer}
	}
	c.fin, c.waiting = true, append(c.waiting, lateCall{fin: true})
	l.later()
	return nil
}

func (l *lateLog) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	c, err := l.conn(id)
	switch {
	case l.down > 0:
		return 0, logserver.ErrUnreachable
	case err != nil:
		return 0, err
	case off < c.start:
		return 0, logserver.ErrDiscarded
	}
	return copy(p, c.store[min(off, int64(len(c.store))):]), nil
}

// fetch is Env.Fetch.
func (l *lateLog) fetch(slot, gen uint32, id logserver.ConnID, off int64, n int) {
	l.w.note("fetch      %d:%d", off, off+int64(n))
	asker := l.w.machine
	l.w.clock.After(l.delay(l.plan.read), func() {
		if l.w.machine != asker {
			return // it has gone with its engine, whose slots another one has
		}
		p := make([]byte, n)
		got, err := l.Read(id, p, off)
		if err == nil && got < n {
			l.w.fail("log: %d of %d bytes at %d are read", got, n, off)
		}
		l.w.do(func() { l.w.machine.Fetched(slot, gen, off, p, err) })
	})
}

func (l *lateLog) Length(id logserver.ConnID) (start, end int64, err error) {
	c, err := l.conn(id)
	if err != nil {
		return 0, 0, err
	}
	return c.start, int64(len(c.store)), nil
}

func (l *lateLog) NumActive() int { return len(l.conns) }

func (l *lateLog) Active(first, n int) (list []logserver.Meta, err error) {
	for _, c := range l.order {
		if !c.gone {
			m := c.meta
			m.Finished = c.fin
			list = append(list, m)
		}
	}
	list = list[min(first, len(list)):]
	return list[:min(n, len(list))], nil
}

func (l *lateLog) Meta(id logserver.ConnID) (logserver.Meta, error) {
	c, err := l.conn(id)
	if err != nil {
		return logserver.Meta{}, err
	}
	return c.meta, nil
}

func (l *lateLog) Rebase(id logserver.ConnID, b logserver.Base) error {
	c, err := l.conn(id)
	if err != nil {
		return err
	}
	if b.In > int64(len(c.store)) {
		return logserver.ErrGap
	}
	if b.Beyond(c.meta.Base) {
		c.meta.Base, c.start = b, b.In
	}
	return nil
}

func (l *lateLog) Delete(id logserver.ConnID) error {
	c, err := l.conn(id)
	if err != nil {
		return err
	}
	c.gone = true
	l.unstable -= int64(len(c.taken) - len(c.store))
	delete(l.conns, id)
	return nil
}

func (l *lateLog) Expire(time.Time) []logserver.ConnID { return nil }

func (l *lateLog) Status() logserver.Status {
	if l.down > 0 {
		return logserver.Unreachable
	}
	return logserver.OK
}

func (l *lateLog) SetUpcall(f func([]logserver.Upcall))     { l.up = f }
func (l *lateLog) SetStatusUpcall(f func(logserver.Status)) {}
func (l *lateLog) Usage() (used, limit int64)               { return l.unstable, l.plan.buffer }

func (l *lateLog) Close() error {
	if l.unstable != 0 {
		return fmt.Errorf("%d bytes wait to become stable in a log without connections", l.unstable)
	}
	return nil
}

// survives is what a crash of the log's host would leave of a connection.
func (l *lateLog) survives(f segment.Flow) (stable int64, fin bool, ok bool) {
	for _, c := range slices.Backward(l.order) {
		if c.meta.Flow == logserver.Flow(f) && !c.gone {
			return int64(len(c.store)), c.hasFin, true
		}
	}
	return 0, false, false
}
