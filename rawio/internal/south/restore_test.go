package south_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// TestRestoreMany takes over ten thousand connections, of which every second
// client answers, and two ask for the same endpoints.
func TestRestoreMany(t *testing.T) {
	const conns = 10_000
	log, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.RegisterService(7000); err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddrPort("10.0.0.1:7000")
	client := func(n int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), 4000)
	}
	var list []south.Stored
	for n := range conns {
		m := logserver.Meta{Service: "s", Flow: logserver.Flow{Client: client(max(n, 1)), Server: server}, Handshake: south.Handshake(uint32(n), 1<<20)}
		if m.ID, err = log.Open(m); err != nil {
			t.Fatal(err)
		}
		list = append(list, south.Stored{Meta: m})
	}
	now, probes := int64(1e18), map[netip.AddrPort]int{}
	env := &fakeEnv{
		now: func() int64 { return now }, gate: gatetest.NewModel(conns), heads: map[uint32]*head{},
		toClient: func(s *segment.Segment) { probes[s.Dst]++ }, toServer: func(*segment.Segment) {},
		destroy: func(segment.Flow) {}, report: func(south.Report) {}, note: func(string, ...any) {},
	}
	m := south.New(surround(south.Config{Log: log, MaxConns: conns, Lasting: true}, env))
	began := time.Now()
	if n := m.Restore(7000, south.Service{Name: "s"}, list); n != conns {
		t.Errorf("%d restored, want %d", n, conns)
	}
	t.Logf("%v for each connection", time.Since(began)/conns)
	if m.Len() != conns-1 || log.NumActive() != conns-1 {
		t.Errorf("%d connections, %d in the log", m.Len(), log.NumActive())
	}
	ticks := 0
	for ; len(probes) < conns-1 && ticks < 100; ticks++ {
		before := len(probes)
		m.Tick()
		if n := len(probes) - before; n > 500 {
			t.Fatalf("%d probes at once", n)
		}
		if !m.Busy() && len(probes) < conns-1 {
			t.Fatalf("idle after %d probes", len(probes))
		}
		now += 10e6
	}
	t.Logf("all are asked after %d ticks", ticks)
	for n := 2; n < conns; n += 2 {
		m.Segment(&segment.Segment{Src: client(n), Dst: server, Seq: uint32(n) + 1, Ack: 1<<20 + 1, Flags: segment.ACK, Window: 100}, now)
	}
	m.Flush()
	if got, want := m.Stats.Synced, uint64(conns/2-1); got != want {
		t.Errorf("%d clients met, want %d", got, want)
	}
	if got, want := m.Listening(7000), conns/2-1; got != want {
		t.Errorf("%d to recover, want %d", got, want)
	}
}

// TestRestoreManyGigabytes: the client names its acknowledgment without what lies
// above 32 bits.
func TestRestoreManyGigabytes(t *testing.T) {
	for _, acked := range []int64{0, 1, 1<<31 - 5, 1 << 31, 1<<32 - 1, 1 << 32, 5<<32 + 77, 1<<40 + 3} {
		for _, behind := range []int64{0, 1, 1 << 30, 1<<31 + 9, 3 << 30} {
			t.Run(fmt.Sprintf("%d-%d", acked, behind), func(t *testing.T) {
				known := max(acked-behind, 0)
				env := &fakeEnv{
					now: func() int64 { return 1e18 }, gate: gatetest.NewModel(4), heads: map[uint32]*head{},
					toClient: func(*segment.Segment) {}, toServer: func(*segment.Segment) {},
					destroy: func(segment.Flow) {}, report: func(south.Report) {}, note: func(string, ...any) {},
				}
				log, err := memory.New(nil)
				if err != nil {
					t.Fatal(err)
				}
				defer log.Close()
				if err := log.RegisterService(7000); err != nil {
					t.Fatal(err)
				}
				f := segment.Flow{Client: netip.MustParseAddrPort("10.0.0.2:4000"), Server: netip.MustParseAddrPort("10.0.0.1:7000")}
				const iss = 0xfffffff0
				meta := logserver.Meta{Flow: logserver.Flow(f), Handshake: south.Handshake(0, iss), Output: logserver.Output{Acked: known}}
				if meta.ID, err = log.Open(meta); err != nil {
					t.Fatal(err)
				}
				m := south.New(surround(south.Config{Log: log, MaxConns: 4, Lasting: true}, env))
				m.Restore(7000, south.Service{}, []south.Stored{{Meta: meta}})
				m.Segment(&segment.Segment{Src: f.Client, Dst: f.Server, Seq: 1, Ack: uint32((iss + 1 + acked) & (1<<32 - 1)), Flags: segment.ACK}, 1e18)
				// The last number may be the server's FIN.
				if got := m.Conn(f).Info().Acked; got != max(acked-1, 0) {
					t.Errorf("acknowledged %d, want %d", got, acked-1)
				}
			})
		}
	}
}

// TestRestoreStrange: of a connection whose beginning the log tells wrong nothing is taken over, and that is said.
func TestRestoreStrange(t *testing.T) {
	log, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.RegisterService(7000); err != nil {
		t.Fatal(err)
	}
	var reports []south.Report
	env := &fakeEnv{
		now: func() int64 { return 1e18 }, gate: gatetest.NewModel(4), heads: map[uint32]*head{},
		toClient: func(*segment.Segment) {}, toServer: func(*segment.Segment) {},
		destroy: func(segment.Flow) {}, report: func(r south.Report) { reports = append(reports, r) }, note: func(string, ...any) {},
	}
	m := south.New(surround(south.Config{Log: log, MaxConns: 4, Lasting: true}, env))
	var list []south.Stored
	for n, handshake := range [][]byte{nil, {1, 2, 3}} {
		f := logserver.Flow{Client: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), uint16(4000+n)), Server: netip.MustParseAddrPort("10.0.0.1:7000")}
		meta := logserver.Meta{Flow: f, Handshake: handshake}
		if meta.ID, err = log.Open(meta); err != nil {
			t.Fatal(err)
		}
		list = append(list, south.Stored{Meta: meta})
	}
	if n := m.Restore(7000, south.Service{}, list); n != 0 || m.Len() != 0 || log.NumActive() != 0 {
		t.Errorf("%d restored, %d connections, %d in the log", n, m.Len(), log.NumActive())
	}
	if len(reports) != 2 || reports[0].Kind != south.ConnUnprotected || reports[0].Why != reason.LogStrange {
		t.Errorf("reports %+v", reports)
	}
}
