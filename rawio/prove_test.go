package rawio

import (
	"testing"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestProofLate: a packet that has not come counts against the gate when it is due, but
// not if the report of it may have been lost.
func TestProofLate(t *testing.T) {
	now := time.Unix(1, 0)
	for _, test := range []struct {
		name  string
		proof proof
		late  bool
		tries int
	}{
		{"none was sent", proof{due: now}, false, 0},
		{"under way", proof{number: 1, due: now.Add(1)}, false, 0},
		{"came", proof{number: 1, done: true, due: now}, false, 0},
		{"did not come", proof{number: 1, due: now, lost: 7}, true, 1},
		{"reports were lost before", proof{number: 1, due: now, lost: 7, tries: 2}, true, 3},
		{"reports were lost since", proof{number: 1, due: now, lost: 6, tries: 2}, true, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			if late := test.proof.late(now, 7); late != test.late || test.proof.tries != test.tries {
				t.Errorf("late %v, %d in vain; want %v, %d", late, test.proof.tries, test.late, test.tries)
			}
		})
	}
}

// TestPostsNeverWait: what the engine tells links with its lock held waits for nobody who has
// links.mu, for the kernel may have that one wait; and the next round takes note of it.
func TestPostsNeverWait(t *testing.T) {
	const index, number = 7, 5
	l := bareLinks(new([]map[int]string))
	l.prover.flow = gate.ProofFlow(80) // that of a port that has its turn until now
	now := time.Unix(1, 0)
	g := &guarded{index: index, why: whyNew, proof: proof{number: number, due: now.Add(1)}}
	l.all[index] = g
	l.prover.until = now.Add(1)
	l.sightings.expect(index, sighting{number: number, wanted: true})
	proved := func(kind gate.EventKind, number uint32) {
		l.proved(&gate.Event{Kind: kind, IfIndex: index, Packet: gate.AppendProof(nil, l.prover.flow, false, number)})
	}

	l.mu.Lock()
	told := make(chan struct{})
	go func() {
		defer close(told)
		l.setPorts([]uint16{81, 80})
		<-l.wakeup
		proved(gate.EventProofIn, number)
		proved(gate.EventProofOut, number+2) // which nobody has sent
		select {
		case <-l.wakeup:
			t.Error("links hurry for half a proof")
		default:
		}
		proved(gate.EventProofOut, number)
		<-l.wakeup
	}()
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for links.mu, or links do not hurry")
	}
	l.mu.Unlock()

	l.round(now, 0)
	if g.why != "" || len(l.prover.ports) != 2 {
		t.Errorf("after a round: %q is why packets may pass, and the ports are %v", g.why, l.prover.ports)
	}
}
