package memory

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/logserver"
)

// TestWriteDoesNotAllocate writes in order, as the engine does for each
// segment, within chunks and across their borders.
func TestWriteDoesNotAllocate(t *testing.T) {
	m := newTestMemory(t, nil)
	var stable int64
	m.SetUpcall(func(list []logserver.Upcall) { stable = list[0].Stable })
	id := testConn(t, m)
	p := make([]byte, 1460)
	off := int64(0)
	write := func() {
		if _, err := m.Write(id, off, p); err != nil {
			t.Fatal(err)
		}
		off += int64(len(p))
	}
	for off < 3<<20 { // past the small chunks
		write()
	}
	if n := testing.AllocsPerRun(500, write); n != 0 {
		t.Errorf("%v allocations for a write", n)
	}
	if stable != off {
		t.Errorf("%d bytes stable, want %d", stable, off)
	}
}

// BenchmarkWrite writes 64 KiB at a time, turn by turn to each connection, and
// discards so that no quota fills up: wiping is part of the figure, and so are,
// while the log grows, page faults. segments writes what one Ethernet frame
// holds; memcpy is the bound.
func BenchmarkWrite(b *testing.B) {
	const size, keep = 64 << 10, 32 << 20
	for _, conns := range []int{1, 128} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			benchWrite(b, conns, size, keep/int64(min(conns, 16)))
		})
	}
	b.Run("segments", func(b *testing.B) { benchWrite(b, 128, 1448, 2<<20) })
	b.Run("memcpy", func(b *testing.B) {
		src, dst := make([]byte, size), make([]byte, keep)
		b.SetBytes(size)
		for i := 0; b.Loop(); i++ {
			copy(dst[i*size%keep:], src)
		}
	})
}

func benchWrite(b *testing.B, conns int, size, keep int64) {
	m := newTestMemory(b, &Config{QuotaTotal: 4 << 30})
	m.SetUpcall(func([]logserver.Upcall) {})
	ids := make([]logserver.ConnID, conns)
	offs := make([]int64, conns)
	for i := range ids {
		ids[i] = testConn(b, m)
	}
	p := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := i % conns
		if _, err := m.Write(ids[c], offs[c], p); err != nil {
			b.Fatal(err)
		}
		offs[c] += size
		if offs[c]%keep < size && offs[c] > keep {
			if err := m.Rebase(ids[c], logserver.Base{In: offs[c] - keep/2}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkConnect opens, writes one small request and deletes.
func BenchmarkConnect(b *testing.B) {
	m := newTestMemory(b, nil)
	p := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		id := testConn(b, m)
		if _, err := m.Write(id, 0, p); err != nil || m.Delete(id) != nil {
			b.Fatal("failed")
		}
	}
}

// BenchmarkIdle reports what an idle connection that has sent 100 bytes
// occupies: Go heap, resident memory, and what the quota is charged.
func BenchmarkIdle(b *testing.B) {
	const conns = 100_000
	for b.Loop() {
		m := newTestMemory(b, nil)
		heap, rss := memory(b)
		p := make([]byte, 100)
		for range conns {
			if _, err := m.Write(testConn(b, m), 0, p); err != nil {
				b.Fatal(err)
			}
		}
		heapNow, rssNow := memory(b)
		used, _ := m.Usage()
		b.ReportMetric(float64(heapNow-heap)/conns, "heap-B/conn")
		b.ReportMetric(float64(rssNow-rss)/conns, "rss-B/conn")
		b.ReportMetric(float64(used)/conns, "quota-B/conn")
		if m.Close() != nil {
			b.Fatal("Close failed")
		}
	}
}

// memory returns the bytes live in the Go heap and resident in the process.
func memory(b *testing.B) (heap, rss int64) {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return int64(s.HeapAlloc), pages * int64(os.Getpagesize())
}
