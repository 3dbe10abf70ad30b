package tap

import (
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
)

// BenchmarkLatency measures the time from the kernel's receipt of a packet to
// ReadBatch's return, with the process idle and with all of its processors but
// one busy.
func BenchmarkLatency(b *testing.B) {
	for _, busy := range []bool{false, true} {
		load := "idle"
		if busy {
			load = "busy"
		}
		b.Run(load, func(b *testing.B) { benchLatency(b, busy) })
	}
}

func benchLatency(b *testing.B, busy bool) {
	lab := netlabtest.New(b, nil)
	tap := openIn(b, lab.Server, Config{})
	var stop atomic.Bool
	if busy {
		for range runtime.GOMAXPROCS(0) - 1 {
			go func() {
				for !stop.Load() {
				}
			}()
		}
	}
	defer stop.Store(true)
	// Another process sends: in this one the sender's own thread would find
	// the reader ready when it goes to sleep.
	cmd := lab.Server.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sendEnv+"="+strconv.Itoa(b.N))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	all := make([]time.Duration, 0, b.N)
	batch := NewBatch(8)
	for len(all) < b.N {
		if _, err := tap.ReadBatch(batch); err != nil {
			b.Fatal(err)
		}
		now := time.Now().UnixNano()
		for _, p := range batch.Packets {
			if p.Data[0]>>4 == 4 && p.Data[9] == unix.IPPROTO_UDP {
				all = append(all, time.Duration(now-p.Time))
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "p99-µs")
}

// sendEnv makes the test binary send so many packets over loopback, one in
// about a millisecond, and exit.
const sendEnv = "FTNET_TAP_SEND"

func sendSlowly(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	for range n {
		time.Sleep(500 * time.Microsecond)
		if _, err := conn.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
			return err
		}
	}
	return nil
}

// sender returns a function that sends one UDP packet over loopback, to a
// socket that exists, so that no ICMP error comes back.
func sender(b *testing.B, ns *netlab.Namespace) func([]byte) {
	b.Helper()
	var conn net.PacketConn
	if err := ns.Run(func() (err error) {
		conn, err = net.ListenPacket("udp", "127.0.0.1:0")
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return func(p []byte) {
		if _, err := conn.WriteTo(p, conn.LocalAddr()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadBatch measures throughput and allocations: packets that have
// queued up are taken in batches.
func BenchmarkReadBatch(b *testing.B) {
	lab := netlabtest.New(b, nil)
	tap := openIn(b, lab.Server, Config{})
	send := sender(b, lab.Server)
	batch := NewBatch(64)
	payload := make([]byte, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	var packets int
	for b.Loop() {
		b.StopTimer()
		for range 64 {
			send(payload)
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
