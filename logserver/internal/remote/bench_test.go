package remote_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// BenchmarkBulk sends data to a log server on this host until it is stable,
// beside plain TCP to somebody who only reads:
//
//	go test ./logserver/internal/remote -run - -bench Bulk -benchtime 3s
func BenchmarkBulk(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchPlain(b, 64<<10) })
	for _, secure := range []bool{false, true} {
		name := "remote/tcp"
		if secure {
			name = "remote/tls"
		}
		b.Run(name, func(b *testing.B) { benchBulk(b, secure, 1, 64<<10) })
		b.Run(name+"/conns=128", func(b *testing.B) { benchBulk(b, secure, 128, 64<<10) })
		b.Run(name+"/segments", func(b *testing.B) { benchBulk(b, secure, 128, 1448) })
	}
}

// cpu reports what the process has used since it was called, per GiB.
func cpu(b *testing.B, size int) (report func()) {
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := used()
	return func() {
		gib := float64(b.N) * float64(size) / (1 << 30)
		b.ReportMetric((used()-began).Seconds()/gib, "cpu-s/GiB")
	}
}

func benchPlain(b *testing.B, size int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			defer conn.Close()
			p := make([]byte, 256<<10)
			for err == nil {
				_, err = conn.Read(p)
			}
		}
		done <- err
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, size)
	b.SetBytes(int64(size))
	defer cpu(b, size)()
	for b.Loop() {
		if _, err := conn.Write(p); err != nil {
			b.Fatal(err)
		}
	}
	conn.Close()
	if err := <-done; !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
}

func benchLab(b *testing.B, secure bool) *remote.Log {
	lab := newLab
	if secure {
		lab = newSecureLab
	}
	l := lab(b, logtest.Limits{QuotaTotal: 2 << 30}).open()
	b.Cleanup(func() { _ = l.Close() })
	if err := l.RegisterService(0); err != nil {
		b.Fatal(err)
	}
	return l
}

func benchBulk(b *testing.B, secure bool, conns, size int) {
	l := benchLab(b, secure)
	news := make(chan struct{}, 1)
	l.SetUpcall(func([]logserver.Upcall) {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	ids, offs := make([]logserver.ConnID, conns), make([]int64, conns)
	for i := range ids {
		var err error
		if ids[i], err = l.Open(logtest.Example(i)); err != nil {
			b.Fatal(err)
		}
	}
	p := make([]byte, size)
	keep := int64(16<<20) / int64(conns)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	defer cpu(b, size)()
	for i := 0; b.Loop(); i++ {
		c := i % conns
		for left := p; len(left) > 0; {
			n, err := l.Write(ids[c], offs[c], left)
			offs[c] += int64(n)
			left = left[n:]
			if errors.Is(err, logserver.ErrQuota) {
				_, end, _ := l.Length(ids[c])
				_ = l.Rebase(ids[c], logserver.Base{In: end})
				select {
				case <-news:
				case <-time.After(time.Millisecond): // all is stable, and too much
				}
			} else if err != nil {
				b.Fatal(err)
			}
		}
		if offs[c]%keep < int64(size) {
			_, end, _ := l.Length(ids[c])
			_ = l.Rebase(ids[c], logserver.Base{In: end})
		}
	}
	for c, id := range ids {
		stable(b, l, id, offs[c])
	}
}

// BenchmarkUpcall measures from a write of 100 bytes to its upcall, beside an
// echo over plain TCP. load writes 64 KiB to other connections all the time.
func BenchmarkUpcall(b *testing.B) {
	b.Run("plain", benchEcho)
	b.Run("tcp", func(b *testing.B) { benchUpcall(b, false, 0) })
	b.Run("tls", func(b *testing.B) { benchUpcall(b, true, 0) })
	for _, rate := range []int{10, 100} {
		b.Run(fmt.Sprintf("tls/load=%dMB/s", rate), func(b *testing.B) { benchUpcall(b, true, rate) })
	}
}

func percentiles(b *testing.B, d []time.Duration) {
	slices.Sort(d)
	b.ReportMetric(float64(d[len(d)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(d[len(d)*99/100].Nanoseconds())/1e3, "p99-µs")
}

func benchEcho(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	p := make([]byte, 100)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := conn.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, p); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	percentiles(b, took)
}

func benchUpcall(b *testing.B, secure bool, rate int) {
	l := benchLab(b, secure)
	id, err := l.Open(logtest.Example(1))
	if err != nil {
		b.Fatal(err)
	}
	heard := make(chan struct{}, 1)
	var want atomic.Int64
	l.SetUpcall(func(list []logserver.Upcall) {
		for _, u := range list {
			if u.ID == id && u.Stable == want.Load() {
				heard <- struct{}{}
			}
		}
	})
	var load sync.WaitGroup
	quit := make(chan struct{})
	if rate > 0 {
		load.Go(func() { loadLog(l, rate, quit) })
	}
	p := make([]byte, 100)
	off := int64(0)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		want.Store(off + int64(len(p)))
		if _, err := l.Write(id, off, p); err != nil {
			b.Fatal(err)
		}
		off += int64(len(p))
		<-heard
		took = append(took, time.Since(began))
	}
	close(quit)
	load.Wait()
	percentiles(b, took)
}

// loadLog writes rate MB/s until quit is closed.
func loadLog(l *remote.Log, rate int, quit chan struct{}) {
	id, err := l.Open(logtest.Example(2))
	if err != nil {
		return
	}
	p := make([]byte, 64<<10)
	tick := time.NewTicker(time.Duration(len(p)) * time.Second / time.Duration(rate*1e6))
	defer tick.Stop()
	for off := int64(0); ; {
		select {
		case <-quit:
			return
		case <-tick.C:
			n, _ := l.Write(id, off, p)
			off += int64(n)
			if _, end, _ := l.Length(id); off%(1<<20) < int64(n) {
				_ = l.Rebase(id, logserver.Base{In: end})
			}
		}
	}
}
