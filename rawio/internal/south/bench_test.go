package south_test

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// nullLog takes everything and calls it stable at once.
type nullLog struct {
	logserver.Log
	up   func([]logserver.Upcall)
	tags map[logserver.ConnID]uint64
	one  [1]logserver.Upcall
	last logserver.ConnID
}

func (l *nullLog) Open(m logserver.Meta) (logserver.ConnID, error) {
	l.last++
	l.tags[l.last] = m.Tag
	l.one[0] = logserver.Upcall{ID: l.last, Tag: m.Tag, Meta: true}
	l.up(l.one[:])
	return l.last, nil
}

func (l *nullLog) Write(id logserver.ConnID, off int64, p []byte) (int, error) {
	l.one[0] = logserver.Upcall{ID: id, Tag: l.tags[id], Stable: off + int64(len(p))}
	l.up(l.one[:])
	return len(p), nil
}

func (l *nullLog) Usage() (used, limit int64) { return 0, 1 << 40 }

func (l *nullLog) Delete(logserver.ConnID) error { return nil }

// bench is a Machine with n idle connections.
type bench struct {
	m       *south.Machine
	log     *nullLog
	gate    *gatetest.Model
	upcalls []logserver.Upcall
	now     int64
	acks    int
}

func clientOf(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), byte(i >> 8)}), uint16(1024+i&0xff))
}

func newBench(tb testing.TB, n int) *bench {
	b := &bench{gate: gatetest.NewModel(n), log: &nullLog{tags: make(map[logserver.ConnID]uint64, n)}, now: 1}
	b.log.up = func(u []logserver.Upcall) { b.upcalls = append(b.upcalls, u...) }
	b.m = south.New(surround(south.Config{Log: b.log, MaxConns: uint32(n)}, (*benchEnv)(b)))
	b.m.Protect(serverPort, south.Service{Quota: 64 << 20})
	return b
}

func (b *bench) open(tb testing.TB, n int) {
	for i := range n {
		syn := &segment.Segment{Src: clientOf(i), Dst: serverAddr, Seq: 1000, Flags: segment.SYN, Window: 65535}
		syn.Options = segment.Options{MSS: 1460, HasTS: true, TSVal: 1, SACKPermitted: true, HasWScale: true, WScale: 7}
		synack := &segment.Segment{Src: serverAddr, Dst: clientOf(i), Seq: 5000, Ack: 1001, Flags: segment.SYN | segment.ACK, Window: 65535}
		synack.Options = syn.Options
		packet, err := synack.Append(nil)
		if err != nil {
			tb.Fatal(err)
		}
		b.m.Segment(syn, b.now)
		b.m.Event(gate.EventSYNACK, synack, 1, packet, b.now)
		b.settle()
	}
	if b.m.Len() != n || int(b.m.Stats.Opened) != n {
		tb.Fatalf("%d connections, %d opened", b.m.Len(), b.m.Stats.Opened)
	}
}

func (b *bench) settle() {
	b.m.Stable(b.upcalls)
	b.upcalls = b.upcalls[:0]
	b.m.Flush()
}

type benchEnv bench

func (e *benchEnv) Now() int64                      { return e.now }
func (e *benchEnv) Slot(i uint32) *gate.Slot        { return e.gate.Slot(i) }
func (e *benchEnv) Bind(segment.Flow, uint32) error { return nil }
func (e *benchEnv) Unbind(segment.Flow)             {}
func (e *benchEnv) SetService(uint16, bool, bool)   {}
func (e *benchEnv) HoldService(uint16, bool)        {}
func (e *benchEnv) ToClient(*segment.Segment)       { e.acks++ }
func (e *benchEnv) ToServer(*segment.Segment)       {}
func (e *benchEnv) Forward([]byte)                  {}
func (e *benchEnv) Fetch(_, _ uint32, _ logserver.ConnID, _ int64, _ int) {
	panic("not with this log")
}
func (e *benchEnv) Destroy(segment.Flow)                                  {}
func (*benchEnv) Socket(segment.Flow) south.SocketState                   { return south.SocketOpen }
func (*benchEnv) Progress(segment.Flow) (south.Progress, bool)            { return south.Progress{}, false }
func (*benchEnv) Unguarded(int) string                                    { return "" }
func (*benchEnv) Room(uint16) int                                         { return 1 << 20 }
func (e *benchEnv) Publish(_, _ uint32, _ segment.Flow) error             { return nil }
func (e *benchEnv) Withdraw(uint32)                                       {}
func (e *benchEnv) Prepare(uint32, south.Base, int64, int64, int64) error { return nil }
func (e *benchEnv) Head(uint32) south.Head                                { return south.Head{} }
func (e *benchEnv) Report(south.Report)                                   {}

// inOrder feeds one segment of in-order data, as a batch of its own.
func (b *bench) inOrder(s *segment.Segment) {
	slot := b.gate.Slot(0)
	slot.SetAck(s.Seq, s.Seq+1<<20)
	b.m.Segment(s, b.now)
	b.settle()
	s.Seq += uint32(len(s.Payload))
	s.Options.TSVal++
}

func dataSegment() *segment.Segment {
	s := &segment.Segment{
		Src: clientOf(0), Dst: serverAddr, Seq: 1001, Ack: 5001, Flags: segment.ACK | segment.PSH, Window: 500,
		Payload: make([]byte, 1448),
	}
	s.Options.HasTS, s.Options.TSVal, s.Options.TSEcr = true, 2, 1
	return s
}

// BenchmarkSegment is what the core costs for each segment in order, log and
// gate excluded.
func BenchmarkSegment(b *testing.B) {
	w := newBench(b, 1000)
	w.open(b, 1000)
	s := dataSegment()
	b.ReportAllocs()
	b.SetBytes(int64(len(s.Payload)))
	for b.Loop() {
		if s.Seq-1001 > 32<<20 { // before the quota ends
			b.StopTimer()
			w = newBench(b, 1000)
			w.open(b, 1000)
			s = dataSegment()
			b.StartTimer()
		}
		w.inOrder(s)
	}
}

// TestSegmentAllocations: the path of data in order allocates nothing.
func TestSegmentAllocations(t *testing.T) {
	w := newBench(t, 10)
	w.open(t, 10)
	s := dataSegment()
	w.inOrder(s)
	if n := testing.AllocsPerRun(1000, func() { w.inOrder(s) }); n != 0 {
		t.Errorf("%v allocations for each segment", n)
	}
	if got, want := w.m.Stats.Logged, uint64(s.Seq-1001); got != want {
		t.Errorf("%d bytes are logged, want %d", got, want)
	}
}

// TestIdleMemory bounds what the core keeps of an idle connection. The aim is
// 1 KiB for the whole engine, of which the gate's slot and the journal's head
// take 640 bytes.
func TestIdleMemory(t *testing.T) {
	const n, most = 20000, 480
	w := newBench(t, n)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	w.open(t, 100) // what is allocated once
	before := heap()
	w2 := newBench(t, n)
	base := heap() - before
	w2.open(t, n)
	per := (heap() - before - base) / n
	t.Logf("%d bytes for each idle connection", per)
	if per > most {
		t.Errorf("%d bytes for each idle connection, want at most %d", per, most)
	}
	runtime.KeepAlive(w)
	runtime.KeepAlive(w2)
}
