package tap

import (
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/netlab/netlabtest"
)

// readThread is ReadBatch with an OS thread blocked in poll(2) instead of the
// runtime's poller; it is here only to be compared with it.
func readThread(t *Tap, b *Batch) (int, error) {
	if b.sys == nil {
		b.sys = newBuffers(b.capacity())
	}
	b.Packets = b.Packets[:0]
	raw, err := t.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	control := raw.Control(func(fd uintptr) {
		for {
			var n int
			if n, err = b.sys.receive(int(fd)); err == nil {
				b.Packets = b.sys.packets(b.Packets, n)
				return
			}
			if err != unix.EAGAIN {
				return
			}
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		}
	})
	if control != nil {
		err = control
	}
	return len(b.Packets), err
}

// BenchmarkLatency measures the time from the kernel's receipt of a packet to
// ReadBatch's return, with the processors idle and with all of them busy.
func BenchmarkLatency(b *testing.B) {
	for _, way := range []struct {
		name string
		read func(*Tap, *Batch) (int, error)
	}{{"netpoll", (*Tap).ReadBatch}, {"thread", readThread}} {
		for _, busy := range []bool{false, true} {
			load := "idle"
			if busy {
				load = "busy"
			}
			b.Run(way.name+"/"+load, func(b *testing.B) { benchLatency(b, way.read, busy) })
		}
	}
}

func benchLatency(b *testing.B, read func(*Tap, *Batch) (int, error), busy bool) {
	lab := netlabtest.New(b, nil)
	tap := openIn(b, lab.Server, Config{})
	var conn net.Conn
	var err error
	if conn, err = lab.Server.Dial("udp", "127.0.0.1:9"); err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	stop := make(chan struct{})
	if busy {
		for range runtime.GOMAXPROCS(0) {
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
				}
			}()
		}
	}
	defer close(stop)

	taken := make(chan time.Duration)
	go func() {
		batch := NewBatch(8)
		for range b.N {
			for udp := false; !udp; {
				if _, err := read(tap, batch); err != nil {
					b.Error(err)
					close(taken)
					return
				}
				now := time.Now().UnixNano()
				for _, p := range batch.Packets {
					// The answering ICMP error is seen, too.
					if p.Data[9] == unix.IPPROTO_UDP {
						udp = true
						taken <- time.Duration(now - p.Time)
					}
				}
			}
		}
	}()
	all := make([]time.Duration, 0, b.N)
	for range b.N {
		time.Sleep(200 * time.Microsecond) // let the reader go to sleep
		conn.Write([]byte("x"))
		d, ok := <-taken
		if !ok {
			return
		}
		all = append(all, d)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "p99-µs")
}

// BenchmarkReadBatch measures throughput and allocations: packets that have
// queued up are taken in batches.
func BenchmarkReadBatch(b *testing.B) {
	lab := netlabtest.New(b, nil)
	tap := openIn(b, lab.Server, Config{})
	conn, err := lab.Server.Dial("udp", "127.0.0.1:9")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	batch := NewBatch(64)
	payload := make([]byte, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	var packets int
	for b.Loop() {
		b.StopTimer()
		for range 64 {
			conn.Write(payload)
		}
		b.StartTimer()
		n, err := tap.ReadBatch(batch)
		if err != nil {
			b.Fatal(err)
		}
		packets += n
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}
