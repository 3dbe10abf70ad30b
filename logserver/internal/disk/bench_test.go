package disk_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// benchDir is where the benchmarks work: the disk that is to be measured.
var benchDir = flag.String("benchdir", "", "directory for the benchmarks (default: a temporary one)")

const mib = 1 << 20

func dirFor(b *testing.B) string {
	if *benchDir == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(*benchDir, "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// rate measures what the disk itself does: MiB written and made stable one by
// one.
type rate struct {
	f    vfs.File
	at   int64
	took time.Duration
	done int64
}

const rateFile = 64 * mib

// newRate makes a file, or one that was written before if old is set: that
// saves the file system some work.
func newRate(b *testing.B, dir string, old bool) *rate {
	path := filepath.Join(dir, fmt.Sprintf("rate-%v", old))
	f, err := vfs.OS{}.Create(path)
	if err == nil && old {
		_, err = f.WriteAt(make([]byte, rateFile), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close(); os.Remove(path) })
	return &rate{f: f}
}

func (r *rate) run(b *testing.B, n int) {
	p := logtest.Pattern(make([]byte, mib), 1, 0)
	start := time.Now()
	for range n {
		_, err := r.f.WriteAt(p, r.at)
		if err == nil {
			err = r.f.Sync()
		}
		if err != nil {
			b.Fatal(err)
		}
		r.at = (r.at + mib) % rateFile
	}
	r.took += time.Since(start)
	r.done += int64(n) * mib
}

func (r *rate) value() float64 { return float64(r.done) / r.took.Seconds() }

// client writes to one connection, a window ahead of what is stable.
type client struct {
	id         logserver.ConnID
	start, end int64
	stable     int64
	news       chan int64 // what is stable; holds the latest
}

func (c *client) tell(stable int64) {
	for {
		select {
		case c.news <- stable:
			return
		default:
		}
		select {
		case <-c.news:
		default:
		}
	}
}

func (c *client) run(l *disk.Log, total, window, keep int64, p []byte) error {
	for c.end < total {
		for c.end-c.stable >= window {
			c.stable = <-c.news
			if c.stable-c.start > keep { // it is needed no more
				if err := l.Rebase(c.id, logserver.Base{In: c.stable}); err != nil {
					return err
				}
				c.start = c.stable
			}
		}
		n, err := l.Write(c.id, c.end, p[:min(int64(len(p)), total-c.end)])
		c.end += int64(n)
		if errors.Is(err, logserver.ErrQuota) {
			time.Sleep(time.Millisecond)
		} else if err != nil {
			return err
		}
	}
	for c.stable < total {
		c.stable = <-c.news
	}
	return nil
}

// BenchmarkWrite: one iteration is a MiB, of all connections together, that is
// written and told to be stable. The disk's own rate is measured in turns with
// the log's: "old" into a file that was written before, "new" into a new one.
func BenchmarkWrite(b *testing.B) {
	for _, v := range []struct {
		conns  int
		window int64
	}{{1, 256 << 10}, {1, 1 << 20}, {1, 8 << 20}, {128, 64 << 10}, {128, 256 << 10}} {
		for _, key := range [][]byte{nil, testKey} {
			name := fmt.Sprintf("conns=%d/window=%dKiB/encrypted=%v", v.conns, v.window>>10, key != nil)
			b.Run(name, func(b *testing.B) { benchWrite(b, v.conns, v.window, key) })
		}
	}
}

func benchWrite(b *testing.B, conns int, window int64, key []byte) {
	dir := dirFor(b)
	l := open(b, filepath.Join(dir, "log"), &disk.Config{Key: key, QuotaTotal: 4 << 30})
	defer l.Close()
	if err := l.RegisterService(0); err != nil {
		b.Fatal(err)
	}
	clients := make([]*client, conns)
	byID := map[logserver.ConnID]*client{}
	for i := range clients {
		id, err := l.Open(logtest.Example(i))
		if err != nil {
			b.Fatal(err)
		}
		clients[i] = &client{id: id, news: make(chan int64, 1)}
		byID[id] = clients[i]
	}
	l.SetUpcall(func(list []logserver.Upcall) {
		for _, u := range list {
			byID[u.ID].tell(u.Stable)
		}
	})
	p := logtest.Pattern(make([]byte, 64<<10), 1, 0)
	const keep = 256 * mib
	write := func(total int64) time.Duration {
		start := time.Now()
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				if err := c.run(l, c.end+total/int64(conns), window, keep/int64(conns), p); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	write(2 * keep) // the log's files are as old as they will be
	prior, fresh := newRate(b, dir, true), newRate(b, dir, false)
	var took time.Duration
	b.SetBytes(mib)
	b.ResetTimer()
	for left := b.N; left > 0; left -= 64 {
		n := min(64, left)
		took += write(int64(n) * mib)
		b.StopTimer()
		prior.run(b, n)
		if fresh.done < rateFile {
			fresh.run(b, min(n, int(rateFile-fresh.done)/mib))
		}
		b.StartTimer()
	}
	b.StopTimer()
	own := float64(b.N) * mib / took.Seconds()
	b.ReportMetric(prior.value()/mib, "old-MiB/s")
	b.ReportMetric(fresh.value()/mib, "new-MiB/s")
	b.ReportMetric(own/prior.value(), "of-old")
	b.ReportMetric(own/fresh.value(), "of-new")
}

// BenchmarkUpcall: the time from Write to its upcall.
func BenchmarkUpcall(b *testing.B) {
	for _, size := range []int{64, 1448, 65536} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			dir := dirFor(b)
			own := syncTime(b, dir, size)
			l := open(b, filepath.Join(dir, "log"), &disk.Config{})
			defer l.Close()
			if err := l.RegisterService(0); err != nil {
				b.Fatal(err)
			}
			news := make(chan int64, 16)
			l.SetUpcall(func(list []logserver.Upcall) {
				for _, u := range list {
					news <- u.Stable
				}
			})
			id, err := l.Open(logtest.Example(1))
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, size)
			var took []time.Duration
			off := int64(0)
			b.ResetTimer()
			for range b.N {
				start := time.Now()
				if _, err := l.Write(id, off, p); err != nil {
					b.Fatal(err)
				}
				for off += int64(size); <-news < off; {
				}
				took = append(took, time.Since(start))
				if off > 64*mib {
					if err := l.Rebase(id, logserver.Base{In: off}); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.StopTimer()
			report(b, took, "")
			report(b, own, "disk-")
		})
	}
}

// syncTime is what the disk itself takes for a write and a sync.
func syncTime(b *testing.B, dir string, size int) []time.Duration {
	path := filepath.Join(dir, "time")
	f, err := vfs.OS{}.Create(path)
	if err == nil {
		_, err = f.WriteAt(make([]byte, 16*mib), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(path)
	defer f.Close()
	p := make([]byte, size)
	var took []time.Duration
	for i := range 200 {
		start := time.Now()
		if _, err = f.WriteAt(p, int64(i*size)%(15*mib)); err == nil {
			err = f.Sync()
		}
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	return took
}

func report(b *testing.B, took []time.Duration, prefix string) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), prefix+"p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), prefix+"p99-µs")
}

// BenchmarkOpen opens a log of 1 GiB.
func BenchmarkOpen(b *testing.B) {
	for _, v := range []struct {
		name  string
		conns int
		size  int
		each  int
	}{{"data=1GiB", 128, 8 << 20, 64 << 10}, {"connections=100000", 100_000, 100, 100}} {
		b.Run(v.name, func(b *testing.B) {
			dir := filepath.Join(dirFor(b), "log")
			fill(b, dir, v.conns, v.size, v.each)
			b.ResetTimer()
			for range b.N {
				l := open(b, dir, &disk.Config{})
				if n := l.NumActive(); n != v.conns {
					b.Fatalf("%d connections", n)
				}
				b.StopTimer()
				l.Close()
				b.StartTimer()
			}
		})
	}
}

func fill(b *testing.B, dir string, conns, size, each int) {
	l := open(b, dir, &disk.Config{})
	if err := l.RegisterService(0); err != nil {
		b.Fatal(err)
	}
	ids := make([]logserver.ConnID, conns)
	for i := range ids {
		var err error
		if ids[i], err = l.Open(logtest.Example(i)); err != nil {
			b.Fatal(err)
		}
	}
	p := make([]byte, each)
	for off := 0; off < size; off += each {
		for _, id := range ids {
			for {
				_, err := l.Write(id, int64(off), p)
				if err == nil {
					break
				} else if !errors.Is(err, logserver.ErrQuota) {
					b.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
