package disk

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// TestResidentMemory: neither the cleaner nor the next start needs memory for a whole
// file, of which a log of the default size has such of 64 MiB.
func TestResidentMemory(t *testing.T) {
	const segment, most = 32 << 20, 8 << 20
	dir := filepath.Join(t.TempDir(), "log")
	l := openIn(t, dir, Config{QuotaTotal: 1 << 30, Segment: segment, fs: vfs.OS{}})
	data := logtest.Pattern(make([]byte, 64<<10), 1, 0)
	keep := mustOpen(t, l, 1)
	fill := func() { // most of a segment, for a client that leaves
		t.Helper()
		id := mustOpen(t, l, 2)
		for off := int64(0); off < segment-segment/8; off += int64(len(data)) {
			if _, err := l.Write(id, off, data); err != nil {
				t.Fatal(err)
			}
			writeAll(t, l)
		}
		if err := l.Delete(id); err != nil {
			t.Fatal(err)
		}
		writeAll(t, l)
	}
	if _, err := l.Write(keep, 0, data); err != nil {
		t.Fatal(err)
	}
	fill()
	fill() // the first is sealed by now, and a little of it lives
	before := l.Counters().Cleaned
	if n := allocated(func() { l.clean() }); n > most {
		t.Errorf("cleaning takes %d bytes", n)
	}
	if l.Counters().Cleaned == before {
		t.Error("nothing was cleaned")
	}
	holds(t, l, keep, data)

	// As a process leaves it that is killed: the last file has no index.
	other := t.TempDir()
	names, err := l.files.fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(other, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var again *Log
	if n := allocated(func() { again = openIn(t, other, Config{QuotaTotal: 1 << 30, Segment: segment, fs: vfs.OS{}}) }); n > most {
		t.Errorf("opening takes %d bytes", n)
	}
	holds(t, again, keep, data)
}

// allocated returns how many bytes f allocates in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
