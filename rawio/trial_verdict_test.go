package rawio

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/rawiotest"
)

// turnInjector sends when nobody else uses the rig.
type turnInjector struct{ *rig }

func (i turnInjector) Room(device int) int                        { return i.sent.Room(device) }
func (i turnInjector) Close() error                               { return i.sent.Close() }
func (i turnInjector) ToClient(list []inject.Packet) (int, error) { return i.sent.ToClient(list) }

func (i turnInjector) ToServer(p inject.Packet) error {
	i.kernel.turn.Lock()
	defer i.kernel.turn.Unlock()
	return i.sent.ToServer(p)
}

var rigEntrance = entrance{rigPort, rigLink, false}

// tries tries a handshake in the client's name, while the engine looks at what the gate reports, or
// does not. It returns what was found, and how long that took.
func (r *rig) tries(looks bool) (found verdict, took time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.trials.inject = turnInjector{r}
		began := time.Now()
		found = r.trials.try(rigEntrance, rigClient.Addr(), rigServer.Addr())
		took = time.Since(began)
	}()
	for {
		synctest.Wait()
		if looks {
			r.kernel.turn.Lock()
			r.work()
			r.kernel.turn.Unlock()
		}
		select {
		case <-done:
			return found, took
		case <-time.After(trialWait / 2):
		}
	}
}

// TestTrialVerdicts: what a handshake in a client's name comes to, and that nothing is left of it.
func TestTrialVerdicts(t *testing.T) {
	all := func(*segment.Segment, int) bool { return true }
	const rounds = trialRounds * 3 // of SYNs
	for _, test := range []struct {
		name  string
		has   func(r *rig)
		blind bool // the engine does not look
		want  verdictKind
		why   string
		sent  int
		took  time.Duration
		loop  bool
	}{
		{name: "answered", want: answered, sent: 1},
		{name: "answered, and the gate's report is late", blind: true, want: answered, sent: 1, took: trialWait},
		{name: "by loopback only", has: func(r *rig) {
			r.drop = func(_ *segment.Segment, device int) bool { return device == rigLink }
		}, want: answered, sent: 3, took: 2 * trialWait, loop: true},
		{name: "the second SYN", has: func(r *rig) {
			r.drop = func(*segment.Segment, int) bool { return len(r.sent.toServer) < 2 }
		}, want: answered, sent: 2, took: trialWait},
		{name: "dropped", has: func(r *rig) { r.drop = all }, want: unanswered, why: "was not answered", sent: rounds, took: rounds * trialWait},
		{name: "refused", has: func(r *rig) { // the stack that answers has no listener
			r.stack = rawiotest.NewStack(r.clock, rawiotest.Config{Output: r.leaves})
			r.kernel.stack = r.stack
		}, want: unanswered, why: "was refused", sent: rounds, took: rounds * trialWait},
		{name: "nobody listens", has: func(r *rig) { r.drop, r.kernel.listeners = all, nil }, sent: rounds, took: rounds * trialWait},
		{name: "the queue is full", has: func(r *rig) {
			r.drop, r.kernel.queues[rigPort] = all, func() int { return 0 }
		}, sent: rounds, took: rounds * trialWait},
		{name: "the queue is full of half-open connections", has: func(r *rig) {
			r.drop, r.kernel.queues[rigPort] = all, func() int { return 1 }
			other := Flow{Client: rigServer, Server: rigServer}
			r.kernel.more = []sockdiag.Socket{{Flow: other, State: sockdiag.SynReceived}}
		}, sent: rounds, took: rounds * trialWait},
		{name: "the server is ending", has: func(r *rig) {
			r.drop = all
			r.Crash(rigPort)
		}, sent: rounds, took: rounds * trialWait},
		{name: "somebody has the flow", has: func(r *rig) {
			r.kernel.more = []sockdiag.Socket{{Flow: rigFlow, State: sockdiag.Established}}
		}},
		{name: "the engine ends", has: func(r *rig) {
			r.drop = all
			time.AfterFunc(trialWait/2, func() { _ = r.Close() })
		}, sent: 1, took: trialWait / 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.protects()
				r.serve()
				r.trials.clientPort = func(uint16) uint16 { return rigClient.Port() }
				if test.has != nil {
					test.has(r)
				}
				found, took := r.tries(!test.blind)
				if found.kind != test.want || !strings.HasSuffix(found.why, test.why) || found.loopback != test.loop {
					t.Errorf("found %+v", found)
				}
				if len(r.sent.toServer) != test.sent || took != test.took {
					t.Errorf("%d SYNs in %v, want %d in %v", len(r.sent.toServer), took, test.sent, test.took)
				}
				if len(r.stack.Sockets()) > 0 || r.model.Bound(rigFlow) {
					t.Errorf("it leaves %d sockets; bound: %v", len(r.stack.Sockets()), r.model.Bound(rigFlow))
				}
				if test.sent > 0 && !slices.Contains(r.kernel.destroyed, rigFlow) {
					t.Error("the half-open connection is not destroyed")
				}
			})
		})
	}
}

// TestTrialOfAnotherFlow: only the answer to the handshake under way counts.
func TestTrialOfAnotherFlow(t *testing.T) {
	r := newRig(t, nil)
	h := r.trials.handshaker
	answer := func(f Flow) { h.answered(&segment.Segment{Src: f.Server, Dst: f.Client}) }
	h.begin(rigFlow)
	answer(Flow{Client: rigServer, Server: rigServer})
	if len(h.answer) != 0 {
		t.Error("another flow's answer counts")
	}
	answer(rigFlow)
	answer(rigFlow) // does not wait
	if len(h.answer) != 1 {
		t.Error("the answer does not count")
	}
	if h.begin(rigFlow); len(h.answer) != 0 {
		t.Error("the answer to the one before counts")
	}
}

// TestUnansweredIsNotProtected: while no handshake is answered at the entrance by which a connection has
// come, it does not count as protected, and the operator is told once; then it does again.
func TestUnansweredIsNotProtected(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	_, l := r.serve()
	r.connect(l)
	v := r.trials.all[rigEntrance]
	if v == nil || v.client != rigClient.Addr() || v.server != rigServer.Addr() {
		t.Fatalf("the client's coming is not noted: %+v", v)
	}
	const warns, again = "[WARN]  engine: no SYN-ACK for trial handshakes", "[INFO]  engine: trial handshakes are answered again"
	for _, step := range []struct {
		found     verdict
		protected bool
		says      string
	}{
		{verdict{kind: answered}, true, ""},
		{verdict{kind: unanswered, why: "was not answered"}, false, warns},
		{verdict{kind: unanswered, why: "was not answered"}, false, ""},
		{verdict{}, false, ""},
		{verdict{kind: answered}, true, again},
		{verdict{kind: answered, loopback: true}, true, ""},
	} {
		r.said.Reset()
		r.concluded(rigEntrance, v, step.found, true)
		if c := r.conn(); c.Protected != step.protected || c.Protected == strings.Contains(c.Reason, "was not answered") {
			t.Errorf("%+v: protected %v, reason %q", step.found, c.Protected, c.Reason)
		}
		for _, s := range []string{warns, again} {
			if strings.Contains(r.said.String(), s) != (s == step.says) {
				t.Errorf("%+v: said %s", step.found, &r.said)
			}
		}
	}
	if list := r.Handshakes(); len(list) != 1 || !list[0].Answered || !list[0].Loopback || list[0].Port != rigPort || list[0].Network != "tcp4" {
		t.Errorf("the status says %+v", list)
	}
}
