package kernel

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// judge is what the Model and the kernel have in common.
type judge interface {
	SetService(port uint16, state gate.ServiceState, unmodified bool) error
	DeleteService(port uint16) error
	Bind(flow segment.Flow, slot uint32) error
	BindProof(flow segment.Flow) error
	Unbind(flow segment.Flow) error
	Slot(i uint32) *gate.Slot
	Stats() (gate.Stats, error)
	// run judges one IP packet and returns it as it leaves, and the events.
	run(t testing.TB, ingress bool, pkt []byte, priority, mark uint32) (gatetest.Verdict, []byte, []gate.Event)
	// setEngine says how the engine does.
	setEngine(life)
	// bound reports whether the flow is.
	bound(t testing.TB, flow segment.Flow) bool
	// fill leaves no room for outputs and says how many it made for that.
	fill(t testing.TB) int
	// outputs takes the outputs that are there, and those of fill.
	outputs(t testing.TB) []gate.Output
}

type modelJudge struct{ *gatetest.Model }

func (m modelJudge) run(_ testing.TB, ingress bool, pkt []byte, priority, mark uint32) (gatetest.Verdict, []byte, []gate.Event) {
	pkt = append([]byte(nil), pkt...)
	var v gatetest.Verdict
	if ingress {
		v = m.Ingress(pkt, mark)
	} else {
		v = m.Egress(pkt, priority)
	}
	return v, pkt, m.TakeEvents()
}

func (m modelJudge) setEngine(l life) {
	m.Now = func() uint64 { return 100 }
	_, _ = m.Beat()
	m.Secret = testSecret
	m.DeadAfter = 10
	if l != alive {
		m.Now = func() uint64 { return 111 }
	}
	if l == deadHold {
		m.DeadAfter = 0
	}
}

func (m modelJudge) bound(_ testing.TB, flow segment.Flow) bool { return m.Bound(flow) }

func (m modelJudge) fill(testing.TB) int {
	m.OutputsFull = true
	return 0
}

func (m modelJudge) outputs(testing.TB) []gate.Output {
	m.OutputsFull = false
	return m.TakeOutputs()
}

// testSecret is the engine's.
const testSecret = 0x5ec2e700

// waits is the base under which the engine is dead and the gate waits for it.
const waits = 0x7fff_ffce

// environments are all combinations of family, option layout and wrap.
func environments() []env {
	var all []env
	for _, v6 := range []bool{false, true} {
		for _, l := range []layout{noTimestamps, aligned, odd} {
			for _, base := range []uint32{5000, 0xffff_ff9c, waits} {
				all = append(all, env{v6, l, base, base + 50})
			}
		}
	}
	return all
}

func (e env) String() string {
	return fmt.Sprintf("v6=%v/layout=%d/base=%#x", e.v6, e.layout, e.client)
}

func TestModelRules(t *testing.T) { testRules(t, modelJudge{gatetest.NewModel(16)}) }

// TestModelOrigin: what has no socket is a SYN cookie of this host, or not its own.
// TestCookie is the same with the kernel.
func TestModelOrigin(t *testing.T) {
	for from, want := range map[gatetest.Origin][]gate.EventKind{
		gatetest.FromSocket: {gate.EventSYNACK}, gatetest.FromStack: {gate.EventCookie}, gatetest.FromElsewhere: nil,
	} {
		m := gatetest.NewModel(1)
		must(t, m.SetService(servicePort, gate.ServiceListen, false))
		m.From = from
		verdict := m.Egress(tcp{seq: 50, ack: 100, flags: flagSYN | flagACK}.bytes(), 0)
		var kinds []gate.EventKind
		for _, e := range m.TakeEvents() {
			kinds = append(kinds, e.Kind)
		}
		if diff := cmp.Diff(want, kinds); diff != "" || (verdict == gatetest.Held) != (want != nil) {
			t.Errorf("from %d: %v, events (-want +got):\n%s", from, verdict, diff)
		}
	}
}

func testRules(t *testing.T, j judge) {
	for _, e := range environments() {
		for _, r := range rules(e) {
			// A gate that waits for its engine does what it always does.
			if r.engine == alive && e.client == waits {
				r.engine = deadHold
			}
			t.Run(r.name+"/"+e.String(), func(t *testing.T) { check(t, j, e, r) })
		}
	}
}

// check runs one rule. Expectations come from the rule alone.
func check(t *testing.T, j judge, e env, r rule) {
	const slot = 5
	flow := testFlow(e.v6)
	must(t, j.SetService(servicePort, gate.ServiceListen, false))
	if r.outage {
		must(t, j.SetService(servicePort, gate.ServiceOutage, r.unmodified))
	}
	if r.hold {
		must(t, j.SetService(servicePort, gate.ServiceHold, r.unmodified))
	}
	if r.other {
		must(t, j.DeleteService(servicePort))
	}
	filled := 0
	if r.full {
		filled = j.fill(t)
	}
	must(t, j.Bind(flow, slot))
	if r.unknown {
		must(t, j.Unbind(flow))
	}
	if r.proof {
		must(t, j.BindProof(flow))
	}
	pkt, want := r.packets(e)
	state := r.slot
	if e.layout == noTimestamps {
		state.Flags &^= gate.FlagTS
	}
	state.store(j.Slot(slot))
	before, err := j.Stats()
	must(t, err)
	j.setEngine(r.engine)

	verdict, got, events := j.run(t, r.ingress, pkt, r.priority, r.mark)

	if verdict != r.verdict {
		t.Errorf("verdict: %v, want %v", verdict, r.verdict)
	}
	if diff := cmp.Diff(want, got); diff != "" && verdict == gatetest.Pass {
		t.Errorf("packet (-want +got):\n%s", diff)
	}
	wantState := state
	if r.after != nil {
		r.after(&wantState)
	}
	if !r.probe {
		wantState.BareACKs += uint32(r.stats.AckHeld)
	}
	if e.layout == noTimestamps {
		wantState.TSVal, wantState.TSEcr = state.TSVal, state.TSEcr
	}
	if diff := cmp.Diff(wantState, loadState(j.Slot(slot))); diff != "" {
		t.Errorf("slot (-want +got):\n%s", diff)
	}
	var kinds []gate.EventKind
	for _, ev := range events {
		kinds = append(kinds, ev.Kind)
		wantSlot := uint32(slot)
		if r.unknown || r.stranger {
			wantSlot = gate.NoSlot
		}
		if r.proof {
			wantSlot = gate.ProofSlot
		}
		if ev.Slot != wantSlot || ev.Length != len(pkt) {
			t.Errorf("event %v: slot %d, length %d", ev.Kind, ev.Slot, ev.Length)
		}
		if diff := cmp.Diff(pkt[:min(len(pkt), gate.EventCapture)], ev.Packet); diff != "" {
			t.Errorf("event's packet (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(r.events, kinds); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	var outputs []output
	for _, o := range j.outputs(t)[filled:] {
		outputs = append(outputs, output{o.Kind, o.Seq})
		if o.Slot != slot || o.Gen != state.Gen {
			t.Errorf("output of slot %d, generation %d", o.Slot, o.Gen)
		}
		if diff := cmp.Diff(pkt, o.Packet); diff != "" {
			t.Errorf("output's packet (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(r.outputs, outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if got, want := j.bound(t, flow), !r.unknown && !r.forgets; got != want {
		t.Errorf("the flow is bound: %v, want %v", got, want)
	}
	after, err := j.Stats()
	must(t, err)
	if diff := cmp.Diff(r.stats, minus(after, before)); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// packets returns the rule's packet and what it becomes.
func (r rule) packets(e env) (in, out []byte) {
	if r.bytes != nil {
		if r.rewrite != nil {
			return r.bytes, r.rewrite
		}
		return r.bytes, r.bytes
	}
	p := r.packet
	p.v6, p.layout = e.v6, e.layout
	in = p.bytes()
	if r.out != nil {
		r.out(&p)
	}
	return in, p.bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// minus returns the difference of two readings.
func minus(s, o gate.Stats) gate.Stats {
	a, b := reflect.ValueOf(&s).Elem(), reflect.ValueOf(o)
	for i := range a.NumField() {
		a.Field(i).SetUint(a.Field(i).Uint() - b.Field(i).Uint())
	}
	return s
}
