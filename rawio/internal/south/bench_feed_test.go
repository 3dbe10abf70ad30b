package south_test

import (
	"testing"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// feedEnv is a server that takes what it is fed, and a log whose answers to
// fetches come in the next round.
type feedEnv struct {
	*benchEnv
	log     logserver.Log
	synack  bool
	end     uint32 // of what was fed
	fetches []fetchCall
	page    []byte
}

func (e *feedEnv) ToServer(s *segment.Segment) {
	if s.Flags.Has(segment.SYN) {
		e.synack = true
	}
	e.end = s.End()
}

func (e *feedEnv) Fetch(slot, gen uint32, id logserver.ConnID, off int64, n int) {
	e.fetches = append(e.fetches, fetchCall{slot, gen, id, off, n})
}

func (e *feedEnv) answer(b *testing.B, m *south.Machine) {
	list := e.fetches
	e.fetches = nil
	for _, f := range list {
		if cap(e.page) < f.n {
			e.page = make([]byte, f.n)
		}
		if n, err := e.log.Read(f.id, e.page[:f.n], f.off); err != nil || n != f.n {
			b.Fatal(n, err)
		}
		m.Fetched(f.slot, f.gen, f.off, e.page[:f.n], nil)
	}
}

// waits is a log that the core takes for one that may wait.
type waits struct{ logserver.Log }

// BenchmarkFeed is what feeding a restarted server costs the core, the log's part
// included: from an immediate log, and from one that is asked for pages.
func BenchmarkFeed(b *testing.B) {
	b.Run("immediate", func(b *testing.B) { benchFeed(b, false) })
	b.Run("fetched", func(b *testing.B) { benchFeed(b, true) })
}

func benchFeed(b *testing.B, fetched bool) {
	const size = 32 << 20
	mem, err := memory.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer mem.Close()
	if err := mem.RegisterService(serverPort); err != nil {
		b.Fatal(err)
	}
	w := &bench{gate: gatetest.NewModel(1), now: 1}
	mem.SetUpcall(func(u []logserver.Upcall) { w.upcalls = append(w.upcalls, u...) })
	env := &feedEnv{benchEnv: (*benchEnv)(w), log: mem}
	cfg := surround(south.Config{Log: mem, MaxConns: 1}, env)
	if fetched {
		cfg.Log = waits{mem}
	}
	w.m = south.New(cfg)
	w.m.Protect(serverPort, south.Service{Unmodified: true, Compare: policy.CompareLength})
	w.open(b, 1)
	for s := dataSegment(); s.Seq-1001 < size; {
		w.inOrder(s)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		benchRoll(b, w, env, size)
	}
}

// benchRoll rolls forward up to the last byte.
func benchRoll(b *testing.B, w *bench, env *feedEnv, size uint32) {
	w.m.Crash(serverPort)
	w.m.Listening(serverPort)
	w.settle()
	c := w.m.BySlot(0)
	reply := &segment.Segment{Src: serverAddr, Dst: clientOf(0), Seq: 70000, Ack: 1001, Flags: segment.SYN | segment.ACK, Window: 65535}
	reply.Options = segment.Options{MSS: 1460, HasTS: true, TSVal: 1, SACKPermitted: true, HasWScale: true, WScale: 7}
	w.m.Event(gate.EventSYNACK, reply, 1, nil, w.now)
	w.settle()
	reply.Flags, reply.Seq, reply.Window = segment.ACK, 70001, 8192 // 1 MiB
	for rounds := 0; c.State() == south.Rolling; rounds++ {
		env.answer(b, w.m)
		w.settle()
		if env.end-1001 >= size {
			return
		}
		reply.Ack = env.end
		w.m.Output(gate.OutputRoll, 0, c.Generation(), reply.Seq, reply)
		w.settle()
		if rounds > 100_000 {
			b.Fatal("it stands still")
		}
	}
	b.Fatalf("state is %v", c.State())
}
