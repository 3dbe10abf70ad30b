package kernel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// framing is how packets come to the programs.
type framing int

const (
	ethernet framing = iota
	vlan             // one 802.1Q priority tag in line
	bareIP
	tcxEthernet // the programs for tcx
	tcxBareIP
)

// kernelJudge runs the loaded programs on single packets (BPF_PROG_TEST_RUN).
type kernelJudge struct {
	*Gate
	framing framing
}

func loadGate(t testing.TB, maxConns int) *Gate {
	t.Helper()
	return loadConfig(t, Config{MaxConns: maxConns, ID: "0123abcd"})
}

// readEvent waits for one event.
func (g *Gate) readEvent(ctx context.Context) (gate.Event, error) {
	var e [1]gate.Event
	_, err := g.Events().ReadBatch(ctx, e[:])
	return e[0], err
}

// captured reports whether an output is there.
func (g *Gate) captured() bool { return g.outputs.ring.AvailableBytes() > 0 }

func loadConfig(t testing.TB, config Config) *Gate {
	t.Helper()
	testenv.RequireRoot(t)
	g, err := Load(config)
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	return g
}

func (k kernelJudge) program(ingress bool) *ebpf.Program {
	kind, on := &k.filters.progs, ethernetLink
	if k.byTCX() {
		kind = &k.tcx.progs
	}
	if k.framing == bareIP || k.framing == tcxBareIP {
		on = layer3Link
	}
	p, err := kind.of(on)
	if err != nil {
		panic(err)
	}
	if ingress {
		return p.in
	}
	return p.out
}

func (k kernelJudge) byTCX() bool { return k.framing == tcxEthernet || k.framing == tcxBareIP }

func (k kernelJudge) run(t testing.TB, ingress bool, pkt []byte, priority, mark uint32) (gatetest.Verdict, []byte, []gate.Event) {
	t.Helper()
	in := pkt
	if k.framing != bareIP && k.framing != tcxBareIP {
		in = frame(pkt, k.framing == vlan)
	}
	var after struct {
		skbContext
		_ [512]byte // whatever it has besides
	}
	opts := ebpf.RunOptions{
		Data:       in,
		DataOut:    make([]byte, len(in)+64),
		Context:    skbContext{Mark: mark, Priority: priority, IfIndex: 1},
		ContextOut: &after,
	}
	ret, err := k.program(ingress).Run(&opts)
	must(t, err)
	if ingress && mark == testSecret {
		mark = 0
	}
	if after.Mark != mark {
		t.Errorf("the packet leaves the gate with mark %#x, not %#x", after.Mark, mark)
	}
	verdict, events := gatetest.Verdict(int32(ret)), k.drain(t)
	returned := len(events) == 1 && events[0].Kind == gate.EventProofOut
	if k.byTCX() && verdict == gatetest.Held {
		t.Error("a verdict that tcx does not know")
	}
	if k.byTCX() && verdict == gatetest.Returned && !returned {
		verdict = gatetest.Held // by a redirect to nowhere
	}
	return verdict, opts.DataOut[len(in)-len(pkt):], events
}

// drain takes the events that are there; a test run has finished writing them.
func (k kernelJudge) drain(t testing.TB) []gate.Event {
	t.Helper()
	if k.Events().ring.AvailableBytes() == 0 {
		return nil
	}
	events := make([]gate.Event, 16)
	n, err := k.Events().ReadBatch(context.Background(), events)
	must(t, err)
	for i := range events[:n] {
		if events[i].IfIndex != 1 || events[i].Ktime == 0 {
			t.Errorf("event of interface %d at %d", events[i].IfIndex, events[i].Ktime)
		}
	}
	return events[:n]
}

func (k kernelJudge) setEngine(l life) {
	const patience = uint64(time.Minute)
	_, _ = k.Beat()
	k.engine.secret.Store(testSecret)
	k.engine.deadAfter.Store(patience)
	if l != alive {
		k.engine.beat.Add(^patience) // one more than patience ago
	}
	if l == deadHold {
		k.engine.deadAfter.Store(0)
	}
}

func (k kernelJudge) bound(t testing.TB, flow segment.Flow) bool {
	t.Helper()
	var slot uint32
	err := k.objs.Conns.Lookup(keyOf(flow), &slot)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// fill uses up the smallest records: then none fits.
func (k kernelJudge) fill(t testing.TB) int {
	t.Helper()
	flow := testFlow(false)
	must(t, k.Bind(flow, 6))
	defer func() { must(t, k.Unbind(flow)) }()
	slotState{Mode: gate.ModeRoll}.store(k.Slot(6))
	pkt := tcp{flags: flagACK}.bytes()
	before, err := k.Stats()
	must(t, err)
	for n := 0; ; n++ {
		k.run(t, false, pkt, 0, 0)
		after, err := k.Stats()
		must(t, err)
		if after.Unrecorded > before.Unrecorded {
			return n
		}
	}
}

func (k kernelJudge) outputs(t testing.TB) []gate.Output {
	t.Helper()
	if !k.captured() {
		return nil
	}
	outputs := make([]gate.Output, 64)
	n, err := k.Outputs().ReadBatch(t.Context(), outputs)
	must(t, err)
	for i := range outputs[:n] {
		if outputs[i].Ktime == 0 {
			t.Error("output without a time")
		}
	}
	return outputs[:n]
}

func TestKernelRules(t *testing.T) {
	g := loadGate(t, 16)
	for name, f := range map[string]framing{
		"ethernet": ethernet, "vlan": vlan, "bare": bareIP, "tcx": tcxEthernet, "tcx bare": tcxBareIP,
	} {
		t.Run(name, func(t *testing.T) { testRules(t, kernelJudge{g, f}) })
	}
}

// TestKernelAgainstModel feeds random packets and states to both.
func TestKernelAgainstModel(t *testing.T) {
	k := kernelJudge{loadGate(t, 16), ethernet}
	m := modelJudge{gatetest.NewModel(16)}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	n := 20000
	if testing.Short() {
		n = 2000
	}
	for i := range n {
		e := env{rnd.IntN(2) == 0, layout(rnd.IntN(3)), rnd.Uint32(), rnd.Uint32()}
		flow, state := testFlow(e.v6), randomState(rnd, e)
		service, unmodified := gate.ServiceState(1+rnd.IntN(2)), rnd.IntN(2) == 0
		engine := []life{alive, alive, deadHold, deadOpen}[rnd.IntN(4)]
		pkt, ingress := randomPacket(rnd, e)
		priority := []uint32{0, gate.PrioClose, gate.PrioShut}[rnd.IntN(3)]
		type outcome struct {
			Verdict gatetest.Verdict
			Packet  []byte
			Kinds   []gate.EventKind
			Outputs []gate.Output
			State   slotState
			Stats   gate.Stats
			Bound   bool
		}
		judge := func(j judge) (o outcome) {
			before, err := j.Stats()
			must(t, err)
			must(t, j.SetService(servicePort, service, unmodified))
			must(t, j.Bind(flow, 3))
			state.store(j.Slot(3))
			j.setEngine(engine)
			var events []gate.Event
			o.Verdict, o.Packet, events = j.run(t, ingress, pkt, priority, 0)
			for _, ev := range events {
				o.Kinds = append(o.Kinds, ev.Kind)
			}
			if o.Verdict == gatetest.Held {
				o.Packet = nil
			}
			for _, out := range j.outputs(t) {
				out.Ktime = 0
				o.Outputs = append(o.Outputs, out)
			}
			o.State = loadState(j.Slot(3))
			o.Bound = j.bound(t, flow)
			after, err := j.Stats()
			must(t, err)
			o.Stats = minus(after, before)
			return o
		}
		if diff := cmp.Diff(judge(m), judge(k), cmpopts.IgnoreUnexported(gate.Output{})); diff != "" {
			t.Fatalf("packet %d of seed %#x: ingress %v, priority %d, engine %d, %x\nstate %+v\n(-model +kernel):\n%s",
				i, seed, ingress, priority, engine, pkt, state, diff)
		}
	}
}

// TestHeldExchange races the gate, which holds an ACK, with the engine, which
// makes it stable: exactly one of the two must let it leave.
func TestHeldExchange(t *testing.T) {
	k := kernelJudge{loadGate(t, 16), ethernet}
	must(t, k.SetService(servicePort, gate.ServiceListen, false))
	must(t, k.Bind(testFlow(false), 3))
	s := k.Slot(3)
	slotState{Mode: gate.ModeLive, Stable: 100, High: 100}.store(s)
	rounds := 3000
	passed, taken := 0, 0
	for i := range rounds {
		s.SetStable(uint32(100 + i))
		pkt := tcp{flags: flagACK, ack: uint32(101 + i), window: 10}.bytes()
		var verdict gatetest.Verdict
		var took bool
		var both sync.WaitGroup
		both.Go(func() { verdict, _, _ = k.run(t, false, pkt, 0, 0) })
		both.Go(func() {
			for range rand.IntN(40000) {
				_ = s.Held() // spread the moments
			}
			s.SetStable(uint32(101 + i))
			took = s.TakeHeld()
		})
		both.Wait()
		if (verdict == gatetest.Pass) == took || s.Held() {
			t.Fatalf("round %d: verdict %v, taken by the engine: %v, still held: %v", i, verdict, took, s.Held())
		}
		if took {
			taken++
		} else {
			passed++
		}
	}
	t.Logf("passed by the gate %d, taken by the engine %d", passed, taken)
}

// TestTapFilter runs the socket filter.
func TestTapFilter(t *testing.T) {
	g := loadGate(t, 16)
	m := gatetest.NewModel(16)
	g.engine.secret.Store(testSecret)
	m.Secret = testSecret
	must(t, g.SetService(servicePort, gate.ServiceOutage, false))
	must(t, m.SetService(servicePort, gate.ServiceOutage, false))
	for _, v6 := range []bool{false, true} {
		in := tcp{v6: v6, toServer: true, flags: flagACK, payload: 5}
		ext, frag, out := in, in, in
		ext.extensions, frag.fragment, out.toServer = 8, true, false
		later, foreign := frag, frag
		later.later, foreign.toServer = true, false
		for _, c := range []struct {
			name string
			pkt  []byte
			mark uint32
			want bool
		}{
			{"segment to a service", in.bytes(), 0, true},
			{"behind extension headers", ext.bytes(), 0, true},
			{"the engine's", in.bytes(), testSecret, false},
			{"another mark", in.bytes(), testSecret + 1, true},
			{"other port", out.bytes(), 0, false},
			{"first fragment to another port", foreign.bytes(), 0, false},
			{"another fragment, of nobody", later.bytes(), 0, false},
			{"first fragment", frag.bytes(), 0, true},
			{"another fragment", later.bytes(), 0, true},
			{"ICMP", in.icmp(3, 4, 1400), 0, false},
		} {
			ret, err := g.TapFilter().Run(&ebpf.RunOptions{Data: frame(c.pkt, false), Context: skbContext{Mark: c.mark}})
			must(t, err)
			if kernel, model := ret != 0, m.Tap(c.pkt, c.mark); kernel != c.want || model != c.want {
				t.Errorf("%s, v6 %v: kernel %v, model %v, want %v", c.name, v6, kernel, model, c.want)
			}
		}
	}
}

// BenchmarkProgram measures the programs alone, as the kernel times them.
func BenchmarkProgram(b *testing.B) {
	const conns = 50000
	g := loadGate(b, conns+1)
	must(b, g.SetService(servicePort, gate.ServiceListen, false))
	flow := testFlow(false)
	for _, n := range []int{1, conns} {
		for i := range n {
			f := flow
			f.Client = netip.AddrPortFrom(flow.Client.Addr(), uint16(1+i))
			must(b, g.Bind(f, uint32(i)))
		}
		must(b, g.Bind(flow, uint32(n-1)))
		live := slotState{Mode: gate.ModeLive, Flags: gate.FlagTS | gate.FlagSACK, Stable: 100, High: 100}
		xlate := live
		xlate.Flags, xlate.Delta, xlate.TSDelta = live.Flags|gate.FlagXlate, 5, 6
		data := tcp{seq: 50, ack: 100, flags: flagACK, layout: aligned, payload: 1000}
		in := data
		in.toServer = true
		held := live
		held.Stable--
		for _, c := range []struct {
			name    string
			ingress bool
			port    uint16
			slot    slotState
		}{
			{"egress-live", false, servicePort, live},
			{"egress-held", false, servicePort, held},
			{"egress-held-patience", false, servicePort, held},
			{"egress-translated", false, servicePort, xlate},
			{"egress-other-port", false, 9, live},
			{"no-ip", false, 0, live}, // what the measurement itself costs
			{"ingress-live", true, servicePort, live},
			{"ingress-translated", true, servicePort, xlate},
		} {
			b.Run(fmt.Sprintf("%s/conns=%d", c.name, n), func(b *testing.B) {
				c.slot.store(g.Slot(uint32(n - 1)))
				g.engine.deadAfter.Store(0)
				if strings.HasSuffix(c.name, "patience") {
					g.engine.deadAfter.Store(1 << 60)
				}
				pkt := data.bytes()
				if c.slot == held {
					ack := data
					ack.payload = 0
					pkt = ack.bytes()
				}
				if c.ingress {
					pkt = in.bytes()
				}
				if c.port != servicePort {
					be.PutUint16(pkt[20:], c.port)
				}
				f := frame(pkt, false)
				if c.port == 0 {
					be.PutUint16(f[12:], 0x0806)
				}
				_, d, err := kernelJudge{g, ethernet}.program(c.ingress).Benchmark(f, b.N, nil)
				must(b, err)
				b.ReportMetric(float64(d.Nanoseconds()), "ns/packet")
			})
		}
	}
}
