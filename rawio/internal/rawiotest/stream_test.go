package rawiotest

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

var (
	seeds     = flag.Uint64("seeds", 2000, "number of seeds of the stream test")
	firstSeed = flag.Uint64("first-seed", 0, "first seed of the stream test")
)

// TestStreams sends random streams both ways over a bad network: each side
// must read what the other wrote, and both must end quietly.
func TestStreams(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 200)
	}
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		testStream(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d (-run TestStreams -first-seed %d -seeds 1)", seed, seed)
		}
	}
}

func testStream(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	config := func() Config {
		c := Config{
			NoTimestamps: r.IntN(3) == 0, NoSACK: r.IntN(3) == 0, NoWScale: r.IntN(3) == 0,
			ECN: r.IntN(2) == 0, NoECN: r.IntN(4) == 0,
			MSS:           uint16(536 + r.IntN(8000)),
			GSO:           1 + r.IntN(8),
			WScale:        uint8(r.IntN(10)),
			ReceiveBuffer: 2000 + r.IntN(200000),
			SendBuffer:    1000 + r.IntN(100000),
		}
		if r.IntN(2) == 0 {
			near := uint32(0) - uint32(r.IntN(30000)) // the numbers wrap within the stream
			c.ISN = func() uint32 { return near }
		}
		return c
	}
	i := Impairment{Delay: time.Duration(r.IntN(30)) * time.Millisecond}
	if r.IntN(4) > 0 {
		i.Loss, i.Duplicate, i.Reorder = r.Float64()*0.1, r.Float64()*0.1, r.Float64()*0.3
		i.Mark = r.Float64() * 0.1
	}
	l := newLab(t, seed, i, config(), config())
	c, s := l.connect()
	client := &app{s: c, out: random(r, r.IntN(100000)), rand: r}
	server := &app{s: s, out: random(r, r.IntN(100000)), rand: r}
	up, down := client.out, server.out
	client.start()
	server.start()
	l.run(2*time.Hour, func() bool { return client.eof && server.eof || client.err != nil || server.err != nil })
	if client.err != nil || server.err != nil {
		t.Errorf("client: %v, server: %v", client.err, server.err)
		return
	}
	if !bytes.Equal(server.in, up) || !bytes.Equal(client.in, down) {
		t.Errorf("streams differ: up %d of %d bytes, down %d of %d", len(server.in), len(up), len(client.in), len(down))
	}
	c.Close()
	s.Close()
	l.run(time.Hour, func() bool { return len(l.client.Sockets())+len(l.server.Sockets()) == 0 })
	if c.Err() != nil || s.Err() != nil {
		t.Errorf("ended with client: %v, server: %v", c.Err(), s.Err())
	}
	// On a bad network a late copy may meet a port that is closed already.
	if n := count(append(l.toClient, l.toServer...), segment.RST); n > 0 && i.Loss+i.Duplicate+i.Reorder == 0 {
		t.Errorf("%d RSTs", n)
	}
}

func TestSameSeedSameRun(t *testing.T) {
	run := func() string {
		l := newLab(t, 7, Impairment{Loss: 0.1, Reorder: 0.2, Duplicate: 0.1, Delay: time.Millisecond}, Config{}, Config{})
		c, s := l.connect()
		client, server := &app{s: c, out: make([]byte, 100000)}, &app{s: s, out: make([]byte, 100000)}
		client.start()
		server.start()
		l.run(time.Hour, func() bool { return client.eof && server.eof })
		return l.trace.String()
	}
	if a, b := run(), run(); a != b {
		t.Error("two runs with one seed differ")
	}
}
