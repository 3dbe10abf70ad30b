package storelog_test

import (
	"bytes"
	"errors"
	"flag"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store/storetest"
	"github.com/ftnet/ftnet/logserver/internal/storelog"
	"github.com/ftnet/ftnet/logserver/logtest"
)

func TestMain(m *testing.M) {
	// Each step of the model tests waits for the writer.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// memFor returns a store that is as large as limits say.
func memFor(limits logtest.Limits, frames bool) (storetest.Config, storelog.Config) {
	if limits.QuotaTotal == 0 {
		limits.QuotaTotal = 256 << 20
	}
	segment := max(64<<10, min(4<<20, limits.QuotaTotal/32))
	mem := storetest.Config{Segment: segment, Segments: int(limits.QuotaTotal / segment), Frames: frames}
	return mem, storelog.Config{QuotaTotal: limits.QuotaTotal, LowSpace: limits.LowSpace}
}

func open(t testing.TB, m *storetest.Mem, cfg storelog.Config) *storelog.Log {
	t.Helper()
	cfg.Warn = func(message string, pairs ...any) { t.Log(message, pairs) }
	l, err := storelog.Open(m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLog: the log passes the suite above another store than files.
func TestLog(t *testing.T) {
	for name, frames := range map[string]bool{"frames": true, "copies": false} {
		empty := func(t testing.TB, limits logtest.Limits) logserver.Log {
			mem, cfg := memFor(limits, frames)
			cfg.Warn = func(message string, pairs ...any) { t.Log(message, pairs) }
			l, err := storelog.Open(storetest.New(mem), cfg)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		t.Run(name, func(t *testing.T) {
			logtest.Run(t, empty)
			if frames {
				t.Run("Lend", func(t *testing.T) { logtest.RunLender(t, empty) })
			}
			var mu sync.Mutex
			stores := map[string]*storetest.Mem{}
			logtest.RunPersistent(t, func(t testing.TB, dir string, limits logtest.Limits) logserver.Log {
				mem, cfg := memFor(limits, frames)
				mu.Lock()
				defer mu.Unlock()
				if m := stores[dir]; m != nil {
					stores[dir] = m.Crash(0)
				} else {
					stores[dir] = storetest.New(mem)
				}
				return open(t, stores[dir], cfg)
			})
		})
	}
}

func soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func mustOpen(t *testing.T, l *storelog.Log, n int) logserver.ConnID {
	t.Helper()
	id, err := l.Open(logtest.Example(n))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func stableAt(l *storelog.Log, id logserver.ConnID, end int64) func() bool {
	return func() bool {
		_, got, err := l.Length(id)
		return err == nil && got >= end
	}
}

func mustWrite(t *testing.T, l *storelog.Log, id logserver.ConnID, off int64, p []byte) {
	t.Helper()
	if n, err := l.Write(id, off, p); n != len(p) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

func holds(t *testing.T, l *storelog.Log, id logserver.ConnID, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n, err := l.Read(id, got, 0)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("Read: %d bytes, %v, want %d, or other ones", n, err, len(want))
	}
}

// device fails in the steps that it is told to.
type device struct {
	mu    sync.Mutex
	fails map[storetest.Step]error
	left  int           // how many steps fail; -1 for all
	seen  chan struct{} // closed when a step has come that is to wait
	wait  chan struct{} // what it waits for
}

func (d *device) fail(step storetest.Step) error {
	d.mu.Lock()
	err := d.fails[step]
	if err != nil && d.left == 0 {
		err = nil
	} else if err != nil && d.left > 0 {
		d.left--
	}
	wait, seen := d.wait, d.seen
	if step == storetest.Sync && wait != nil {
		d.wait = nil
	}
	d.mu.Unlock()
	if step == storetest.Sync && wait != nil {
		close(seen)
		<-wait
	}
	return err
}

// set has the next n of these steps fail.
func (d *device) set(n int, steps ...storetest.Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails, d.left = map[storetest.Step]error{}, n
	for _, s := range steps {
		d.fails[s] = errDevice
	}
}

var errDevice = errors.New("the device fails")

// TestDeviceError: a batch that failed goes elsewhere, or waits; no upcall comes before it is stable,
// and what it left is never found.
func TestDeviceError(t *testing.T) {
	for _, step := range []storetest.Step{storetest.Begin, storetest.Write, storetest.Sync} {
		t.Run(string(step), func(t *testing.T) {
			mem, cfg := memFor(logtest.Limits{QuotaTotal: 4 << 20}, true)
			d := &device{}
			mem.Fail = d.fail
			m := storetest.New(mem)
			l := open(t, m, cfg)
			data := logtest.Pattern(make([]byte, 500<<10), 1, 0)
			id := mustOpen(t, l, 1)
			for off := 0; off < len(data); off += 50 << 10 {
				d.set(2, step)
				mustWrite(t, l, id, int64(off), data[off:off+50<<10])
				soon(t, "data", stableAt(l, id, int64(off+50<<10)))
			}
			d.set(0)
			if c := l.Counters(); c.Faults == 0 {
				t.Errorf("counters are %+v", c)
			}
			soon(t, "status", func() bool { return l.Status() == logserver.OK })
			after := m.Crash(0)
			_ = l.Close()
			l = open(t, after, cfg)
			defer l.Close()
			holds(t, l, id, data)
		})
	}
}

// TestFull: while the store is full what is taken waits; deletions go to its reserve, and what has
// waited becomes stable when they have set space free, or when there is more.
func TestFull(t *testing.T) {
	for _, how := range []string{"space", "deletion"} {
		t.Run(how, func(t *testing.T) {
			mem, cfg := memFor(logtest.Limits{QuotaTotal: 4 << 20}, true)
			mem.Capacity = 6
			m := storetest.New(mem)
			l := open(t, m, cfg)
			defer l.Close()
			data := logtest.Pattern(make([]byte, 1<<20), 1, 0)
			old, id := mustOpen(t, l, 1), mustOpen(t, l, 2)
			mustWrite(t, l, old, 0, data[:300<<10])
			soon(t, "the first data", stableAt(l, old, 300<<10))
			mustWrite(t, l, id, 0, data)
			soon(t, "low space", func() bool { return l.Status()&logserver.LowSpace != 0 })
			if stableAt(l, id, 1<<20)() {
				t.Fatal("more is stable than there is room for")
			}
			holds(t, l, old, data[:300<<10])
			if how == "space" {
				m.SetCapacity(0)
			} else {
				m.SetCapacity(11) // not enough beside the old connection
				if err := l.Delete(old); err != nil {
					t.Fatal(err)
				}
			}
			soon(t, "what has waited", stableAt(l, id, 1<<20))
			holds(t, l, id, data)
			if how == "space" {
				soon(t, "status", func() bool { return l.Status() == logserver.OK })
			}
		})
	}
}

// TestCloseDuringAppend: Close waits for a batch that is being written, and for what has come since.
func TestCloseDuringAppend(t *testing.T) {
	mem, cfg := memFor(logtest.Limits{}, true)
	d := &device{}
	mem.Fail = d.fail
	m := storetest.New(mem)
	l := open(t, m, cfg)
	data := logtest.Pattern(make([]byte, 100<<10), 1, 0)
	id := mustOpen(t, l, 1)
	seen, wait := make(chan struct{}), make(chan struct{})
	d.mu.Lock()
	d.seen, d.wait = seen, wait
	d.mu.Unlock()
	mustWrite(t, l, id, 0, data[:50<<10])
	<-seen
	mustWrite(t, l, id, 50<<10, data[50<<10:])
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	soon(t, "Close has begun", func() bool { return errors.Is(l.RegisterService(1), logserver.ErrClosed) })
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v before the batch was stable", err)
	default:
	}
	close(wait)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	l = open(t, m.Crash(0), cfg)
	defer l.Close()
	holds(t, l, id, data)
}

// TestCloseWithoutDevice: Close returns why what was taken is not stable.
func TestCloseWithoutDevice(t *testing.T) {
	mem, cfg := memFor(logtest.Limits{}, false)
	d := &device{}
	mem.Fail = d.fail
	l := open(t, storetest.New(mem), cfg)
	id := mustOpen(t, l, 1)
	soon(t, "the connection", func() bool { return !storelog.Pending(l) })
	d.set(-1, storetest.Begin, storetest.Write, storetest.Sync)
	mustWrite(t, l, id, 0, []byte("x"))
	if err := l.Close(); !errors.Is(err, errDevice) {
		t.Errorf("Close: %v", err)
	}
}

// TestFreeFails: a segment that cannot be freed now is freed later.
func TestFreeFails(t *testing.T) {
	mem, cfg := memFor(logtest.Limits{QuotaTotal: 4 << 20}, true)
	d := &device{}
	mem.Fail = d.fail
	m := storetest.New(mem)
	cfg.Manual = true
	l := open(t, m, cfg)
	defer l.Close()
	sync := func() {
		t.Helper()
		for storelog.Pending(l) {
			if err := storelog.Step(l); err != nil {
				t.Fatal(err)
			}
		}
	}
	data := logtest.Pattern(make([]byte, 1<<20), 1, 0)
	id := mustOpen(t, l, 1)
	mustWrite(t, l, id, 0, data)
	sync()
	before := len(m.Segments(nil))
	if err := l.Delete(id); err != nil {
		t.Fatal(err)
	}
	sync()
	d.set(-1, storetest.Free)
	storelog.Clean(l)
	if n := len(m.Segments(nil)); n != before || before < 5 {
		t.Errorf("%d segments, want %d", n, before)
	}
	d.set(0)
	storelog.Clean(l)
	if n := len(m.Segments(nil)); n != 0 {
		t.Errorf("%d segments are left", n)
	}
}
