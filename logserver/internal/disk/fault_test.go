package disk

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/faultfs"
	"github.com/ftnet/ftnet/logserver/logtest"
)

func openFaulty(t *testing.T, fs *faultfs.FS) *Log {
	t.Helper()
	l, err := Open("/log", &Config{
		QuotaTotal: 4 << 20, Segment: 128 << 10, MinFree: 1, fs: fs,
		Warn: func(message string, pairs ...any) { t.Log(message, pairs) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	return l
}

func soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

func mustOpen(t *testing.T, l *Log, n int) logserver.ConnID {
	t.Helper()
	id, err := l.Open(logtest.Example(n))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func stableAt(l *Log, id logserver.ConnID, end int64) func() bool {
	return func() bool {
		_, got, err := l.Length(id)
		return err == nil && got >= end
	}
}

func holds(t *testing.T, l *Log, id logserver.ConnID, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n, err := l.Read(id, got, 0)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("Read: %d bytes, %v, want %d, or other ones", n, err, len(want))
	}
}

// TestDiskFull: while the disk is full what is taken waits; it becomes stable
// when there is space, be it that a connection is deleted.
func TestDiskFull(t *testing.T) {
	for _, how := range []string{"space", "deletion"} {
		t.Run(how, func(t *testing.T) {
			fs := faultfs.New(1)
			fs.Capacity = 6 * 128 << 10
			l := openFaulty(t, fs)
			defer l.Close()
			data := logtest.Pattern(make([]byte, 1<<20), 1, 0)
			old := mustOpen(t, l, 1)
			id := mustOpen(t, l, 2)
			for off := 0; off < 300<<10; off += 10 << 10 {
				if _, err := l.Write(old, int64(off), data[off:off+10<<10]); err != nil {
					t.Fatal(err)
				}
			}
			soon(t, "the first data", stableAt(l, old, 300<<10))
			if _, err := l.Write(id, 0, data); err != nil {
				t.Fatal(err)
			}
			soon(t, "low space", func() bool { return l.Status()&logserver.LowSpace != 0 })
			time.Sleep(100 * time.Millisecond)
			if stableAt(l, id, 1<<20)() {
				t.Fatal("more is stable than there is room for")
			}
			holds(t, l, old, data[:300<<10])
			if how == "space" {
				fs.SetCapacity(0)
			} else {
				fs.SetCapacity(12 * 128 << 10) // not enough beside the old connection
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

// TestInputOutputError: after a failed write or sync, the batch goes elsewhere,
// and no upcall comes before it is stable there.
func TestInputOutputError(t *testing.T) {
	for _, op := range []faultfs.Op{faultfs.OpSync, faultfs.OpWrite, faultfs.OpCreate, faultfs.OpAllocate} {
		t.Run(string(op), func(t *testing.T) {
			fs := faultfs.New(1)
			fs.Direct = op != faultfs.OpSync
			var bad atomic.Int32
			fs.Fail = func(o faultfs.Op, _ string) error {
				if (o == op || o == faultfs.OpSync) && bad.Load() > 0 {
					bad.Add(-1)
					return syscall.EIO
				}
				return nil
			}
			l := openFaulty(t, fs)
			var status atomic.Uint32
			l.SetStatusUpcall(func(s logserver.Status) { status.Or(uint32(s)) })
			data := logtest.Pattern(make([]byte, 500<<10), 1, 0)
			id := mustOpen(t, l, 1)
			soon(t, "the connection", func() bool { return !l.pending() })
			for off := 0; off < len(data); off += 50 << 10 {
				bad.Store(2)
				if _, err := l.Write(id, int64(off), data[off:off+50<<10]); err != nil {
					t.Fatal(err)
				}
				soon(t, "data", stableAt(l, id, int64(off+50<<10)))
			}
			bad.Store(0)
			if c := l.Counters(); c.Faults == 0 || logserver.Status(status.Load())&logserver.Failed == 0 {
				t.Errorf("counters are %+v, status was %v", c, logserver.Status(status.Load()))
			}
			soon(t, "status", func() bool { return l.Status() == logserver.OK })
			// The power goes: what upcalls said is there.
			after := fs.Crash(2)
			_ = l.Close()
			l = openFaulty(t, after)
			defer l.Close()
			holds(t, l, id, data)
			if c := l.Counters(); c.LostRecords != 0 {
				t.Errorf("claims a loss: %+v", c)
			}
		})
	}
}

// TestCloseWithoutDisk: Close returns why what was taken is not stable.
func TestCloseWithoutDisk(t *testing.T) {
	fs := faultfs.New(1)
	var bad atomic.Bool
	fs.Fail = func(faultfs.Op, string) error {
		if bad.Load() {
			return syscall.EROFS
		}
		return nil
	}
	l := openFaulty(t, fs)
	id := mustOpen(t, l, 1)
	soon(t, "the connection", func() bool { return !l.pending() })
	bad.Store(true)
	if _, err := l.Write(id, 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Close: %v", err)
	}
	if _, err := Open("/log", &Config{fs: fs}); err == nil || !strings.Contains(err.Error(), "read-only: remount") {
		t.Errorf("Open: %v", err)
	}
}

// TestBuffer: what waits is bounded.
func TestBuffer(t *testing.T) {
	fs := faultfs.New(1)
	l, err := Open("/log", &Config{QuotaTotal: 4 << 20, Buffer: 100 << 10, fs: fs, manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id := mustOpen(t, l, 1)
	room, err := l.Room(id)
	if room != 100<<10 || err != nil {
		t.Errorf("Room is %d, %v", room, err)
	}
	n, err := l.Write(id, 0, make([]byte, 200<<10))
	q, ok := errors.AsType[*logserver.QuotaError](err)
	if n != 100<<10 || !ok || q.Scope != logserver.ScopeBuffer {
		t.Errorf("Write took %d bytes, %v", n, err)
	}
	for l.pending() {
		if err := l.step(); err != nil {
			t.Fatal(err)
		}
	}
	if room, _ := l.Room(id); room != 100<<10 {
		t.Errorf("Room is %d when nothing waits", room)
	}
}
