package disk

import (
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/faultfs"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// TestOldConnection: an old idle connection does not keep the space of all
// that came after it, and little is copied for that.
func TestOldConnection(t *testing.T) {
	fs := faultfs.New(1)
	l, err := Open("/log", &Config{QuotaTotal: 4 << 20, fs: fs, manual: true, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		for l.pending() {
			if err := l.step(); err != nil {
				l.clean()
			}
		}
	}
	data := logtest.Pattern(make([]byte, 100_000), 1, 0)
	var olds []logserver.ConnID
	total := int64(0)
	for n := range 400 {
		id := mustOpen(t, l, n)
		size := len(data)
		if n%40 == 0 { // idle from now on
			size = 500
			olds = append(olds, id)
		}
		if _, err := l.Write(id, 0, data[:size]); err != nil {
			t.Fatal(err)
		}
		if err := l.WriteReads(id, 100, 50); err != nil {
			t.Fatal(err)
		}
		total += int64(size)
		sync()
		if n%40 != 0 {
			if err := l.Delete(id); err != nil {
				t.Fatal(err)
			}
		}
		l.clean()
	}
	sync()
	l.clean()
	for _, id := range olds {
		holds(t, l, id, data[:500])
		if runs, err := l.Reads(id); err != nil || len(runs) != 2 {
			t.Errorf("reads are %v, %v", runs, err)
		}
	}
	c := l.Counters()
	names, _ := fs.ReadDir("/log")
	t.Logf("%d bytes written, %d copied, %d files cleaned, %d left", total, c.Copied, c.Cleaned, len(names))
	if len(names) > 8 || c.Copied > total/20 || c.Cleaned == 0 {
		t.Error("that is too much, or too little")
	}
}

// TestFull: with all of the quota live the log goes on for ever in its files.
func TestFull(t *testing.T) {
	fs := faultfs.New(1)
	l, err := Open("/log", &Config{QuotaTotal: 4 << 20, fs: fs, manual: true, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	var ids []logserver.ConnID
	data := logtest.Pattern(make([]byte, 20_000), 1, 0)
	for n := range 3000 {
		for used, most := l.Usage(); used > most-60_000; used, _ = l.Usage() {
			// Any connection but the oldest: the worst for the cleaner.
			k := (n * 7919) % len(ids)
			if err := l.Delete(ids[k]); err != nil {
				t.Fatal(err)
			}
			ids = append(ids[:k], ids[k+1:]...)
		}
		id := mustOpen(t, l, n)
		ids = append(ids, id)
		if _, err := l.Write(id, 0, data); err != nil {
			t.Fatal(err)
		}
		total += int64(len(data))
		for try := 0; l.pending(); try++ {
			err := l.step()
			if err != nil {
				l.clean()
			}
			if try > 1000 {
				for _, s := range l.files.segments {
					t.Logf("%+v", *s)
				}
				t.Fatalf("nothing can be written: %v, %d spares, round %d", err, len(l.files.spares), n)
			}
		}
	}
	for _, id := range ids {
		holds(t, l, id, data)
	}
	c := l.Counters()
	names, _ := fs.ReadDir("/log")
	t.Logf("%d bytes written, %d copied, %d files", total, c.Copied, len(names))
	if int64(len(names)) > 4<<20/l.files.cfg.Segment || c.Copied > 4*total {
		t.Error("that is too much")
	}
}
