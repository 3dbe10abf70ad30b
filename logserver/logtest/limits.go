package logtest

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

func testQuotaTotal(t *testing.T, open Factory) {
	const total = 4 << 20
	b := start(t, open, Limits{QuotaTotal: total})
	var ids []logserver.ConnID
	var err error
	data := pattern(1000, 1, 0)
	for n := 0; err == nil; n++ {
		if n*len(data) > total {
			t.Fatal("the total quota is never full")
		}
		id := b.open(n)
		ids = append(ids, id)
		var taken int
		if taken, err = b.Write(id, 0, data); taken == len(data) {
			b.await("data", func() bool { return b.stable[id] == int64(len(data)) })
		}
	}
	b.quota(err, logserver.ScopeTotal)
	used, limit := b.Usage()
	if limit != total || used > limit || used < limit*3/4 {
		t.Errorf("Usage is %d of %d when the quota is full", used, limit)
	}
	if room, err := b.Room(ids[len(ids)-1]); err != nil || room >= int64(len(data)) {
		t.Errorf("Room is %d, %v in a full log", room, err)
	}
	for _, id := range ids[:len(ids)-1] {
		b.holds(id, 0, data)
		b.must(b.Delete(id))
	}
	// What did not fit does now.
	b.insist(ids[len(ids)-1], 0, data)
	b.must(b.Delete(ids[len(ids)-1]))
	empties(t, b.Log)
}

func testQuotaReads(t *testing.T, open Factory) {
	const total = 1 << 20
	b := start(t, open, Limits{QuotaTotal: total})
	id := b.open(1)
	var err error
	for n := uint32(1); err == nil; n++ {
		if n > total {
			t.Fatal("reads are not charged to the quota")
		}
		err = b.WriteReads(id, n)
	}
	b.quota(err, logserver.ScopeTotal)
	b.must(b.Delete(id))
	empties(t, b.Log)
}

func testLowSpace(t *testing.T, open Factory) {
	b := start(t, open, Limits{QuotaTotal: 8 << 20, LowSpace: 4 << 20})
	if s := b.Status(); s != logserver.OK {
		t.Errorf("status is %v at first", s)
	}
	id := b.open(1)
	low := func() bool {
		return slices.ContainsFunc(b.status, func(s logserver.Status) bool { return s&logserver.LowSpace != 0 })
	}
	block := pattern(64<<10, 1, 0)
	off := int64(0)
	for {
		used, _ := b.Usage()
		if used >= 4<<20 {
			break
		}
		b.mu.Lock()
		if low() && used < 3<<20 {
			t.Errorf("low space with %d bytes occupied", used)
		}
		b.mu.Unlock()
		b.write(id, off, block)
		off += int64(len(block))
	}
	b.await("low space", low)
	if b.Status()&logserver.LowSpace == 0 {
		t.Errorf("status is %v", b.Status())
	}
	b.must(b.Delete(id))
	b.await("enough space", func() bool { return b.status[len(b.status)-1] == logserver.OK })
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Status() != logserver.OK || len(b.status) > 4 {
		t.Errorf("status is %v after %v", b.Status(), b.status)
	}
}

func testExpire(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	old, touched, written := b.open(1), b.open(2), b.open(3)
	m, err := b.Meta(written)
	b.must(err)
	later := m.Modified
	for !time.Now().After(later) { // the clock may be coarse
		runtime.Gosched()
	}
	b.must(logserver.Touch(b.Log, touched))
	b.write(written, 0, []byte("x"))
	got := b.Expire(later.Add(1))
	if !slices.Equal(got, []logserver.ConnID{old}) {
		t.Errorf("expired %v, want only %d", got, old)
	}
	b.await("expired", func() bool { return slices.Contains(b.status, logserver.Expired) })
	b.is(logserver.Touch(b.Log, old), logserver.ErrNoConn)
	if s := b.Status(); s != logserver.OK || b.NumActive() != 2 {
		t.Errorf("status %v, %d connections", s, b.NumActive())
	}
	if got := b.Expire(later); len(got) != 0 {
		t.Errorf("expired %v", got)
	}
}

// testReuse has connections come and go: what the log occupies must not grow.
func testReuse(t *testing.T, open Factory) {
	b := start(t, open, Limits{QuotaTotal: 8 << 20})
	data := pattern(3<<20, 1, 0)
	for n := range 50 {
		id := b.open(n)
		part := data[:len(data)/(n%7+1)]
		b.insist(id, 0, part)
		b.holds(id, 0, part)
		b.must(b.Delete(id))
	}
}

// calls returns every method that can fail, called for one connection.
func calls(l logserver.Log, id logserver.ConnID) map[string]func() error {
	meta := Example(1)
	meta.ID = id
	p := make([]byte, 1)
	return map[string]func() error{
		"RegisterService": func() error { return l.RegisterService(1) },
		"Open":            func() error { _, err := l.Open(Example(7)); return err },
		"Update":          func() error { return l.Update(meta) },
		"Touch":           func() error { return logserver.Touch(l, id) },
		"Write":           func() error { _, err := l.Write(id, 0, p); return err },
		"Room":            func() error { _, err := l.Room(id); return err },
		"WriteReads":      func() error { return l.WriteReads(id, 1) },
		"Reads":           func() error { _, err := l.Reads(id); return err },
		"Finish":          func() error { return l.Finish(id, 0) },
		"Read":            func() error { _, err := l.Read(id, p, 0); return err },
		"Length":          func() error { _, _, err := l.Length(id); return err },
		"Active":          func() error { _, err := l.Active(0, 1); return err },
		"Lookup":          func() error { _, err := logserver.Lookup(l, Server); return err },
		"Meta":            func() error { _, err := l.Meta(id); return err },
		"Rebase":          func() error { return l.Rebase(id, logserver.Base{In: 0}) },
		"Delete":          func() error { return l.Delete(id) },
	}
}

func isNoConn(err error) bool { return errors.Is(err, logserver.ErrNoConn) }

func testClosed(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	id := b.open(1)
	b.write(id, 0, []byte("x"))
	b.must(b.Close())
	for name, call := range calls(b.Log, id) {
		if err := call(); !errors.Is(err, logserver.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.is(b.Close(), logserver.ErrClosed)
	if b.NumActive() != 0 || len(b.Expire(time.Now().Add(time.Hour))) != 0 {
		t.Error("a closed log has connections")
	}
	if b.Status()&logserver.Failed == 0 {
		t.Errorf("status is %v after Close", b.Status())
	}
}
