package logbench

import (
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openMemory() (logserver.Log, error) {
	return memory.New(&memory.Config{QuotaTotal: 256 << 20})
}

// TestLoads measures a log in memory, which stands for all that say at once that
// something is stable, and one that says so later.
func TestLoads(t *testing.T) {
	c := Quick([]Target{{Name: "memory", Open: openMemory}, {Name: "late", Open: openLate}})
	c.For, c.Bytes, c.DiskDir = 20*time.Millisecond, 8<<20, t.TempDir()
	table, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Loads {
		for _, column := range []string{"memory", "late"} {
			if v, ok := table.Median(column, l.String()+": MiB/s"); !ok || v <= 0 {
				t.Errorf("%s, %v: %v MiB/s", column, l, v)
			}
			p50, _ := table.Median(column, l.String()+": upcall p50 µs")
			p99, ok := table.Median(column, l.String()+": upcall p99 µs")
			if !ok || p50 <= 0 || p99 < p50 || column == "late" && p50 < micros(lateBy) {
				t.Errorf("%s, %v: upcall p50 %v, p99 %v µs", column, l, p50, p99)
			}
		}
	}
	if v, ok := table.Median(diskColumn, "sequential MiB/s, fdatasync per MiB, growing file"); !ok || v <= 0 {
		t.Errorf("disk: %v", v)
	}
	var out strings.Builder
	if err := table.Write(&out); err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(out.String(), "\n"); !strings.HasSuffix(strings.Join(strings.Fields(head), " "), diskColumn+" memory late") {
		t.Errorf("columns are not in order: %s", head)
	}
}

// TestWindowBounds: no connection may have more than its window unstable.
func TestWindowBounds(t *testing.T) {
	log, err := openLate()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	f, err := newFeed(log, 3)
	if err != nil {
		t.Fatal(err)
	}
	l := Load{Conns: 3, Size: 1000, Window: 2500}
	n, _, err := f.run(l, 100_000, time.Minute)
	if err != nil || n != 100_000 {
		t.Fatal(n, err)
	}
	if most := log.(*late).most; most > 3*2000 {
		t.Errorf("%d bytes were not stable at the same time, want at most two writes of each connection", most)
	}
}

// TestStoredAndFound runs the measurements that open a log again, on a log
// whose files are a pretence: it stays in memory.
func TestStoredAndFound(t *testing.T) {
	memory, err := openMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	c := Quick([]Target{{Name: "kept", Dir: t.TempDir(), Open: func() (logserver.Log, error) { return kept{memory}, nil }}})
	c.Loads, c.Stored = nil, 16<<20
	table, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"start ms with 16 MiB", "reading after the start, MiB/s"} {
		if v, ok := table.Median("kept", name); !ok || v <= 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
	if n := memory.NumActive(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// kept survives Close.
type kept struct{ logserver.Log }

func (kept) Close() error { return nil }
