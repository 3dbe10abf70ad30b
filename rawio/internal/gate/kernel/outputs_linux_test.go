package kernel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// stream puts captured segments together.
type stream struct {
	kind    gate.OutputKind
	base    uint32 // sequence number of the first byte
	bytes   []byte // with gaps where a large segment did not fit in the ring
	there   []bool // which of them are there
	n       int    // how many
	largest int    // packet
	fin     bool
}

// add takes an output.
func (s *stream) add(t testing.TB, o *gate.Output) {
	t.Helper()
	p, ok := parseIP(o.Packet)
	if !ok || p.end != len(o.Packet) || o.Kind != s.kind || o.Slot != 2 || o.Gen != 7 || o.Ktime == 0 {
		t.Fatalf("%v of slot %d, generation %d: %d bytes", o.Kind, o.Slot, o.Gen, len(o.Packet))
	}
	if seq := be.Uint32(p.tcp()[4:]); seq != o.Seq {
		t.Fatalf("sequence number %d of a segment with %d", o.Seq, seq)
	}
	payload := p.tcp()[p.headerLen():]
	at := int(int32(o.Seq - s.base))
	if more := at + len(payload) - len(s.bytes); more > 0 {
		s.bytes = append(s.bytes, make([]byte, more)...)
		s.there = append(s.there, make([]bool, more)...)
	}
	for i, b := range payload {
		if !s.there[at+i] {
			s.bytes[at+i], s.there[at+i] = b, true
			s.n++
		} else if s.bytes[at+i] != b {
			t.Fatalf("byte %d is repeated differently", at+i)
		}
	}
	s.largest = max(s.largest, len(o.Packet))
	s.fin = s.fin || p.flags()&flagFIN != 0
}

// read reads until the stream has n bytes and, if wanted, a FIN.
func (s *stream) read(ctx context.Context, t testing.TB, r *OutputReader, n int, fin bool) {
	outputs := make([]gate.Output, 8)
	for s.n < n || s.fin != fin {
		got, err := r.ReadBatch(ctx, outputs)
		if err != nil {
			t.Errorf("%d of %d bytes captured: %v", s.n, n, err)
			return
		}
		for i := range outputs[:got] {
			s.add(t, &outputs[i])
		}
	}
}

// recorded is an established connection over the veth pair, in the mode and with
// the flags; what it sends is captured.
type recorded struct {
	*Gate
	server, client *net.TCPConn
	stream         *stream
	ctx            context.Context
}

func newRecorded(t *testing.T, addr netip.Addr, buffer int, mode gate.Mode) *recorded {
	t.Helper()
	l := newLab(t)
	g, err := Load(Config{MaxConns: 4, ID: "00000001", OutputBuffer: buffer})
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	must(t, g.Attach(l.a))
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, servicePort).String())
	must(t, err)
	defer listener.Close()
	r := &recorded{Gate: g, client: connect(t, l.clientSocket(t, addr), addr).(*net.TCPConn)}
	t.Cleanup(func() { r.client.Close() })
	server, err := listener.Accept()
	must(t, err)
	r.server = server.(*net.TCPConn)
	t.Cleanup(func() { r.server.Close() })
	state := liveState(t, r.client)
	state.Mode, state.Flags = mode, state.Flags|gate.FlagRecord
	r.stream = &stream{kind: gate.OutputSent, base: state.SndNxt}
	if mode == gate.ModeRoll {
		r.stream.kind = gate.OutputRoll
	}
	state.store(g.Slot(2))
	must(t, g.Bind(flowFrom(r.client), 2))
	must(t, g.SetService(servicePort, gate.ServiceListen, true))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	r.ctx = ctx
	return r
}

// TestRecordedStream: what arrives is what was captured, in super-packets as the
// kernel made them.
func TestRecordedStream(t *testing.T) {
	for _, addr := range []string{"10.77.0.1", "fd77::1"} {
		t.Run(addr, func(t *testing.T) {
			r := newRecorded(t, netip.MustParseAddr(addr), 32<<20, gate.ModeLive)
			var reading sync.WaitGroup
			reading.Go(func() { r.stream.read(r.ctx, t, r.Outputs(), exchanged, false) })
			exchange(t, r.server, r.client)
			reading.Wait()
			if !bytes.Equal(r.stream.bytes, exchangedBytes()) {
				t.Error("captured bytes differ")
			}
			if r.stream.largest < 60_000 {
				t.Errorf("the largest packet has %d bytes", r.stream.largest)
			}
			stats, err := r.Stats()
			must(t, err)
			if stats.Unrecorded != 0 || stats.Recorded == 0 {
				t.Errorf("%d recorded, %d not", stats.Recorded, stats.Unrecorded)
			}
		})
	}
}

// TestRecordFull: nothing leaves that was not captured; once there is room, all
// does.
func TestRecordFull(t *testing.T) {
	const buffer = 256 << 10
	r := newRecorded(t, netip.MustParseAddr("10.77.0.1"), buffer, gate.ModeLive)
	want := exchangedBytes()[:1<<20]
	var arrived atomic.Int64
	got := make([]byte, len(want))
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := r.server.Write(want); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() {
		_ = r.client.SetReadDeadline(time.Now().Add(20 * time.Second)) // fails only if closed
		for n := 0; n < len(got); {
			m, err := r.client.Read(got[n:])
			if err != nil {
				t.Errorf("after %d bytes: %v", n, err)
				return
			}
			n += m
			arrived.Add(int64(m))
		}
	})
	for full := false; !full && r.ctx.Err() == nil; {
		stats, err := r.Stats()
		must(t, err)
		full = stats.Unrecorded > 0
	}
	if n := arrived.Load(); n == 0 || n > buffer {
		t.Errorf("%d bytes arrived while nobody read the ring", n)
	}
	r.stream.read(r.ctx, t, r.Outputs(), len(want), false)
	all.Wait()
	if !bytes.Equal(got, want) || !bytes.Equal(r.stream.bytes, want) {
		t.Error("bytes differ")
	}
}

// TestRoll: in a roll-forward the engine sees everything, the client nothing;
// afterwards TCP repeats what the client lacks.
func TestRoll(t *testing.T) {
	r := newRecorded(t, netip.MustParseAddr("fd77::1"), 1<<20, gate.ModeRoll)
	want := exchangedBytes()[:8000]
	_, err := r.server.Write(want)
	must(t, err)
	must(t, r.server.CloseWrite())
	r.stream.read(r.ctx, t, r.Outputs(), len(want), true)
	if !bytes.Equal(r.stream.bytes, want) {
		t.Error("captured bytes differ")
	}
	if got := whatComes(t, r.client, errNothing); got != errNothing {
		t.Errorf("the client sees %v", got)
	}
	if s := r.Slot(2); s.Ack() != 0 || s.Egress() == 0 {
		t.Errorf("ack %d noted, %d packets counted", s.Ack(), s.Egress())
	}
	r.Slot(2).SetFlags(gate.FlagUnmodified | gate.FlagTS | gate.FlagSACK)
	r.Slot(2).SetMode(gate.ModeLive)
	must(t, r.client.SetReadDeadline(time.Now().Add(20*time.Second)))
	got, err := io.ReadAll(r.client)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the client's bytes differ")
	}
}

func TestOutputReaderEnds(t *testing.T) {
	g := loadGate(t, 4)
	if g.captured() {
		t.Error("something is there from the start")
	}
	if n, err := g.Outputs().ReadBatch(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	read := func(ctx context.Context) { _, err := g.Outputs().ReadBatch(ctx, make([]gate.Output, 2)); done <- err }
	go read(ctx)
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("read after cancel: %v", err)
	}
	go read(context.Background())
	must(t, g.Close())
	if err := <-done; err != net.ErrClosed {
		t.Errorf("read after close: %v", err)
	}
}

// TestOutputStorage: a batch reads no more than there is, and reuses storage.
func TestOutputStorage(t *testing.T) {
	k := kernelJudge{loadGate(t, 16), ethernet}
	must(t, k.SetService(servicePort, gate.ServiceListen, true))
	must(t, k.Bind(testFlow(false), 3))
	slotState{Mode: gate.ModeRoll, Gen: 9}.store(k.Slot(3))
	outputs := make([]gate.Output, 4)
	for round := range 20 {
		before := outputs[0].Packet
		for i := range 3 {
			k.run(t, false, tcp{seq: uint32(i), flags: flagACK, payload: 10 + i}.bytes(), 0, 0)
		}
		n, err := k.Outputs().ReadBatch(t.Context(), outputs)
		must(t, err)
		if n != 3 || k.captured() {
			t.Fatalf("%d outputs, more: %v", n, k.captured())
		}
		for i, o := range outputs[:n] {
			if o.Seq != uint32(i) || o.Gen != 9 || !bytes.Equal(o.Packet, tcp{seq: uint32(i), flags: flagACK, payload: 10 + i}.bytes()) {
				t.Errorf("output %d: %+v", i, o)
			}
		}
		if round > 0 && &before[0] != &outputs[0].Packet[0] {
			t.Error("new storage for the same place in a batch")
		}
	}
}

// BenchmarkOutputs measures how fast what a server sends can be captured and read.
func BenchmarkOutputs(b *testing.B) {
	for _, payload := range []int{100, 1400, 3400} {
		b.Run(fmt.Sprintf("payload=%d", payload), func(b *testing.B) {
			k := kernelJudge{loadConfig(b, Config{MaxConns: 16, ID: "0123abcd", OutputBuffer: 16 << 20}), ethernet}
			must(b, k.SetService(servicePort, gate.ServiceListen, true))
			must(b, k.Bind(testFlow(false), 3))
			slotState{Mode: gate.ModeLive, Flags: gate.FlagRecord, Stable: 1, High: 1}.store(k.Slot(3))
			pkt := frame(tcp{seq: 1, flags: flagACK, payload: payload}.bytes(), false)
			outputs := make([]gate.Output, 64)
			var capturing, reading time.Duration
			for done := 0; done < b.N; {
				n := min(b.N-done, 512)
				_, each, err := k.progs.loaded[ethernetLink].out.Benchmark(pkt, n, nil)
				must(b, err)
				capturing += each * time.Duration(n)
				start := time.Now()
				for left := n; left > 0; {
					got, err := k.Outputs().ReadBatch(b.Context(), outputs)
					must(b, err)
					left -= got
				}
				reading += time.Since(start)
				done += n
			}
			b.SetBytes(int64(payload))
			b.ReportMetric(float64(capturing.Nanoseconds())/float64(b.N), "ns/capture")
			b.ReportMetric(float64(reading.Nanoseconds())/float64(b.N), "ns/read")
		})
	}
}
