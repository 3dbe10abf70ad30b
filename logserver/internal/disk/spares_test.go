package disk

import (
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/faultfs"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// TestSpares: files that are set free are kept for a while, filled as they are,
// and are removed when nobody has needed them.
func TestSpares(t *testing.T) {
	l := openManual(t, Config{QuotaTotal: 8 << 20, Segment: 128 << 10})
	sync := func() {
		t.Helper()
		writeAll(t, l)
		l.clean()
	}
	sync()
	if n := l.files.numSpares(); n != l.files.readySpares() || !l.files.spares[0].filled {
		t.Fatalf("%d spares when the log is new, want %d that are filled", n, l.files.readySpares())
	}
	if _, err := l.Open(logtest.Example(2)); err != nil {
		t.Fatal(err)
	}
	sync()
	if !l.files.writer.head.filled {
		t.Error("the log goes on in a file that was not filled")
	}
	id := mustOpen(t, l, 1)
	data := logtest.Pattern(make([]byte, 3<<20), 1, 0)
	for off := 0; off < len(data); off += 64 << 10 {
		if _, err := l.Write(id, int64(off), data[off:off+64<<10]); err != nil {
			t.Fatal(err)
		}
		sync()
	}
	holds(t, l, id, data)
	if err := l.Delete(id); err != nil {
		t.Fatal(err)
	}
	sync()
	if n := l.files.numSpares(); n != l.files.maxSpares() {
		t.Errorf("%d spares after a deletion, want %d", n, l.files.maxSpares())
	}
	l.files.rolled.Store(time.Now().Add(-2 * idle).UnixNano())
	for range l.files.maxSpares() {
		l.clean()
	}
	if n := l.files.numSpares(); n != 8 {
		t.Errorf("%d spares after a while, want 8", n)
	}
}

// TestLoanOutlivesBatch: what a borrower still writes does not reach a batch that
// was taken meanwhile, nor one that follows.
func TestLoanOutlivesBatch(t *testing.T) {
	l := openManual(t, Config{QuotaTotal: 64 << 20})
	id, other := mustOpen(t, l, 1), mustOpen(t, l, 2)
	data := logtest.Pattern(make([]byte, 60_000), 1, 0)
	if _, err := l.Write(id, 0, data[:20_000]); err != nil {
		t.Fatal(err)
	}
	loan := l.Lend(id, 20_000)
	if loan == nil {
		t.Fatal("no loan")
	}
	if _, err := l.Write(other, 0, data[:30_000]); err != nil { // not into the loan
		t.Fatal(err)
	}
	writeAll(t, l)
	copy(loan.Bytes(), data[20_000:40_000])
	if _, err := loan.Commit(20_000); err != nil { // its body is gone
		t.Fatal(err)
	}
	clear(loan.Bytes())
	loan.Return()
	writeAll(t, l)
	if _, err := l.Write(id, 40_000, data[40_000:]); err != nil {
		t.Fatal(err)
	}
	writeAll(t, l)
	holds(t, l, id, data)
	holds(t, l, other, data[:30_000])
}

// openManual opens a log that does nothing by itself, in a file system of its own.
func openManual(t *testing.T, c Config) *Log {
	t.Helper()
	c.fs = faultfs.New(1)
	return openIn(t, "/log", c)
}

// openIn is openManual in a directory of the file system that c names.
func openIn(t *testing.T, dir string, c Config) *Log {
	t.Helper()
	c.MinFree, c.manual = 1, true
	l, err := Open(dir, &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	return l
}

// writeAll writes what waits.
func writeAll(t *testing.T, l *Log) {
	t.Helper()
	for l.pending() {
		if err := l.step(); err != nil {
			t.Fatal(err)
		}
	}
}
